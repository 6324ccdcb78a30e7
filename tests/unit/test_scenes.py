"""Properties of the demo's scenes; the server over them: `tests/e2e/test_gallery.py`."""

from __future__ import annotations

import io
import math
import subprocess
import sys
from collections import Counter

import pytest
from PIL import Image

from imagesearch.demo import drawing, scenes
from imagesearch.demo.scenes import Scene, scene
from imagesearch.sources.demo import KEYWORDS

ALL = [scene(scene_id) for scene_id in range(scenes.SCENE_COUNT)]


def _nearest_colour(pixel: tuple[int, ...]) -> str:
    return min(scenes.COLOURS, key=lambda name: math.dist(scenes.COLOURS[name], pixel))


def _pixel(picture: Image.Image, x: float, y: float) -> tuple[int, ...]:
    """Return the pixel at (x, y) in half heights from the middle."""
    at = (round(picture.width / 2 + x * picture.height / 2), round(picture.height / 2 * (1 + y)))
    found = picture.getpixel(at)
    assert isinstance(found, tuple)
    return found


def test_the_same_id_is_the_same_scene_and_the_same_bytes() -> None:
    assert scene(4711) == scene(4711)
    assert drawing.jpeg(scene(4711)) == drawing.jpeg(scene(4711))


def test_all_scenes_of_the_gallery_differ_in_what_they_show() -> None:
    assert len({one.attributes for one in ALL}) == scenes.SCENE_COUNT


def test_ids_past_the_gallery_show_the_same_drawn_anew() -> None:
    first, again = scene(12), scene(12 + scenes.SCENE_COUNT)
    assert first.attributes == again.attributes
    assert drawing.render(first).tobytes() != drawing.render(again).tobytes()


@pytest.mark.parametrize("scene_id", [-1, -scenes.SCENE_COUNT])
def test_a_negative_id_is_refused_by_value(scene_id: int) -> None:
    with pytest.raises(ValueError, match=f"scene_id must be at least 0, got {scene_id}"):
        scene(scene_id)


def test_every_suggested_keyword_names_at_least_600_distinct_scenes() -> None:
    supply = Counter(tag for one in ALL for tag in one.tags)
    assert len(KEYWORDS) >= 12
    assert {word: supply[word] for word in KEYWORDS if supply[word] < 600} == {}


def test_tags_name_the_shape_the_colour_and_the_background_once_each() -> None:
    one = Scene(0, "star", "yellow", 3, "small", "spread", "night")
    assert one.tags == ("star", "yellow", "night", "sky", "small")
    assert all(len(set(shown.tags)) == len(shown.tags) for shown in ALL)


@pytest.mark.parametrize(
    ("shown", "description"),
    [
        (
            Scene(0, "star", "yellow", 3, "small", "spread", "night"),
            "three small yellow stars in the night sky",
        ),
        (
            Scene(0, "circle", "red", 1, "big", "left", "blue"),
            "a big red circle on a blue background, on the left",
        ),
        (
            Scene(0, "butterfly", "white", 2, "big", "spread", "orange"),
            "two big white butterflies on an orange background",
        ),
    ],
)
def test_a_description_names_every_attribute(shown: Scene, description: str) -> None:
    assert shown.description == description


def test_different_scenes_have_different_descriptions() -> None:
    assert len({one.description for one in ALL}) == scenes.SCENE_COUNT


def test_a_shape_never_has_the_colour_of_its_plain_background() -> None:
    assert [one for one in ALL if one.colour == one.background] == []


def test_everything_shown_lies_in_the_central_square() -> None:
    """CLIP's centre crop keeps nothing else; the margin is the jitter of place and size."""
    reaches = [max(abs(x), abs(y)) + radius for one in ALL for x, y, radius in drawing.discs(one)]
    assert max(reaches) <= 1.0


@pytest.mark.parametrize("colour", list(scenes.COLOURS))
def test_the_middle_of_a_shape_has_the_colour_that_the_scene_names(colour: str) -> None:
    shown = [one for one in ALL if one.colour == colour and one.shape in ("circle", "square")][:20]
    for one in shown:
        picture = drawing.render(one)
        for x, y, _ in drawing.discs(one):
            assert _nearest_colour(_pixel(picture, x, y)) == colour, one


@pytest.mark.parametrize("background", list(scenes.COLOURS))
def test_the_edge_of_a_plain_picture_has_the_colour_of_its_background(background: str) -> None:
    shown = next(one for one in ALL if one.background == background)
    assert _nearest_colour(_pixel(drawing.render(shown), -1.3, 0.0)) == background


def test_every_shape_on_every_background_renders_as_a_landscape_jpeg() -> None:
    seen = {(one.shape, one.background): one for one in ALL}
    assert len(seen) == len(scenes.SHAPES) * len(scenes.BACKGROUNDS)
    for one in seen.values():
        with Image.open(io.BytesIO(drawing.jpeg(one))) as picture:
            assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (640, 427))


def test_each_round_shows_every_shape_colour_and_background_together_once() -> None:
    for start in range(0, scenes.SCENE_COUNT, scenes.ROUND):
        shown = ALL[start : start + scenes.ROUND]
        assert len({(one.shape, one.colour, one.background) for one in shown}) == scenes.ROUND


def test_rendering_needs_no_torch() -> None:
    code = (
        "import sys; from imagesearch.demo import drawing, scenes;"
        " drawing.jpeg(scenes.scene(0)); print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"torch", "numpy", "transformers"} & set(loaded.stdout.split())
