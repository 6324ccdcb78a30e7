"""What is kept of pixels: hashes that hardly change with a picture, colours by their names."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from imagesearch.demo.drawing import render
from imagesearch.demo.scenes import FEATURED, FOLDER, THINGS
from imagesearch.domain.pixels import COLOURS, MIRRORED, PixelFacts
from inference_service.images import plan
from inference_service.pixel_facts import pixel_facts
from tools.pictures import encoded, picture

PHOTOS = [picture(seed, 320, 213) for seed in range(12)]


def facts(image: Image.Image, quality: int = 90) -> PixelFacts:
    return pixel_facts(plan(encoded(image, quality=quality)).picture())


def distance(one: int, other: int) -> int:
    return ((one ^ other) & (2**64 - 1)).bit_count()


def names(colours: int) -> set[str]:
    return {name for number, name in enumerate(COLOURS) if colours >> number & 1}


def plain(*colours: tuple[int, int, int]) -> Image.Image:
    """Return stripes of *colours*, as wide as each other."""
    stripes = np.repeat(np.array([colours], np.uint8), 120 // len(colours), axis=1)
    return Image.fromarray(stripes.repeat(80, axis=0))


@pytest.mark.parametrize("photo", PHOTOS, ids=range(len(PHOTOS)))
def test_a_hash_outlives_what_is_done_to_a_picture(photo: Image.Image) -> None:
    original = facts(photo).hash
    smaller = photo.resize((160, 107), Image.Resampling.LANCZOS)
    brighter = ImageEnhance.Brightness(photo).enhance(1.2)
    for other in (smaller, brighter):
        assert distance(original, facts(other, quality=50).hash) <= 12
    mirrored = facts(ImageOps.mirror(photo)).hash
    assert distance(original, mirrored ^ MIRRORED) <= 4
    assert distance(original, mirrored) > 20


def test_hashes_of_different_pictures_differ() -> None:
    hashes = [facts(photo).hash for photo in PHOTOS]
    apart = [distance(one, other) for place, one in enumerate(hashes) for other in hashes[:place]]
    assert min(apart) > 14
    assert np.mean(apart) > 28
    assert all(-(2**63) <= one < 2**63 for one in hashes), "as a database keeps it"


SIDE = 110
PLACES = {"left": (150, 158), "top": (265, 20)}


def heart_or(thing: str, place: str = "left") -> Image.Image:
    """Return a small thing on white."""
    with Image.open(FOLDER / "pictures" / THINGS[thing].picture) as file:
        small = file.convert("RGBA").resize((SIDE, SIDE))
    ground = Image.new("RGB", (640, 427), (246, 246, 244))
    ground.paste(small, PLACES[place], small)
    return ground


@pytest.mark.parametrize("thing", ["star", "house", "car", "moon"])
def test_small_things_on_a_wide_ground_differ_by_what_they_are(thing: str) -> None:
    heart, other = facts(heart_or("heart")).hash, facts(heart_or(thing)).hash
    assert min(distance(heart, other), distance(heart, other ^ MIRRORED)) > 14


def test_a_cropped_picture_keeps_its_hash() -> None:
    heart = heart_or("heart")
    cropped = heart.crop((10, 20, heart.width - 30, heart.height - 5))
    assert distance(facts(heart).hash, facts(cropped).hash) <= 10


def test_a_hash_says_where_a_thing_lies() -> None:
    left, top = (facts(heart_or("heart", place)).hash for place in PLACES)
    assert distance(left, top) > 6


def test_a_picture_without_edges_has_a_hash_all_the_same() -> None:
    small, large = (facts(plain((120, 120, 120)).resize(size)) for size in ((40, 40), (300, 200)))
    assert small == large


def test_a_jpeg_that_is_decoded_at_a_fraction_has_the_hash_of_the_whole() -> None:
    data = encoded(picture(3, 1283, 857), quality=90)
    whole, drafted = (pixel_facts(plan(data, draft_side=side).picture()) for side in (None, 100))
    assert distance(whole.hash, drafted.hash) <= 4
    assert whole.colours == drafted.colours


@pytest.mark.parametrize(
    ("scene_id", "colours"),
    [
        (2, {"green", "blue"}),  # a meadow by day
        (9, {"white", "blue"}),  # snow by day
        (11, {"blue"}),  # the sea by day
        (22, {"gray", "black"}),  # the desert at night
    ],
)
def test_the_landscapes_of_the_demo_have_their_colours(scene_id: int, colours: set[str]) -> None:
    assert names(facts(render(FEATURED[scene_id])).colours) == colours


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((222, 48, 48), "red"),
        ((247, 140, 38), "orange"),
        ((250, 212, 56), "yellow"),
        ((66, 168, 84), "green"),
        ((54, 108, 226), "blue"),
        ((132, 68, 186), "lilac"),
        ((246, 130, 180), "pink"),
        ((246, 246, 244), "white"),
        ((139, 69, 19), "brown"),
        ((0, 160, 160), "turquoise"),
        ((128, 128, 128), "gray"),
        ((12, 12, 14), "black"),
        ((255, 192, 203), "pink"),
        ((0, 80, 0), "green"),
        ((135, 206, 235), "blue"),
    ],
)
def test_colours_have_their_names(rgb: tuple[int, int, int], name: str) -> None:
    assert names(facts(plain(rgb)).colours) - {"grayscale"} == {name}


def test_only_a_picture_without_any_colour_is_grayscale() -> None:
    grey = [(v, v, v) for v in (250, 120, 10)]
    assert names(facts(plain(*grey)).colours) == {"white", "gray", "black", "grayscale"}
    assert "grayscale" not in names(facts(plain(*grey, (222, 48, 48))).colours)


def test_a_colour_of_little_is_no_main_one() -> None:
    many = [(54, 108, 226)] * 9
    assert names(facts(plain(*many, (222, 48, 48))).colours) == {"blue"}
