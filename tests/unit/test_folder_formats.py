"""Pictures of a folder, made into what the encoder takes and what a page shows."""

from __future__ import annotations

import io
import struct
import sys
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from imagesearch.domain.errors import RejectedImage
from imagesearch.domain.images import PICTURE_SUFFIXES
from imagesearch.folders import formats
from imagesearch.folders.formats import media_type, preview, readable, upright_size
from inference_service.images import decode
from tools.pictures import encoded, jpeg, picture

RED, BLUE = (255, 0, 0), (0, 0, 255)
OTHERS = {"GIF": "image/gif", "BMP": "image/bmp", "TIFF": "image/tiff", "AVIF": "image/avif"}
OTHERS |= {"JPEG2000": "image/jp2"}


def halves(width: int = 64, height: int = 48) -> Image.Image:
    """Return a picture that is red above and blue below."""
    image = Image.new("RGB", (width, height), RED)
    ImageDraw.Draw(image).rectangle((0, height // 2, width, height), BLUE)
    return image


def heic(image: Image.Image, **options: Any) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(image).save(file, **options)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def is_near(image: Image.Image, place: tuple[int, int], colour: tuple[int, int, int]) -> bool:
    seen: Any = image.convert("RGB").getpixel(place)
    return bool(np.abs(np.subtract(seen, colour)).max() < 40)


# --- what the encoder takes ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_what_the_encoder_takes_stays_as_it_is(name: str) -> None:
    data = encoded(picture(1, 64, 48), name)
    assert readable(data) is data
    assert media_type(data) == f"image/{name.lower()}"


@pytest.mark.parametrize("name", OTHERS)
def test_another_format_becomes_what_the_encoder_takes(name: str) -> None:
    data = encoded(halves(), name)
    assert media_type(data) == OTHERS[name]
    image = decode(readable(data))
    assert image.size == (64, 48)
    assert is_near(image, (10, 5), RED)
    assert is_near(image, (10, 40), BLUE)


def test_a_heic_becomes_what_the_encoder_takes() -> None:
    data = heic(halves())
    assert media_type(data) == "image/heic"
    assert is_near(decode(readable(data)), (10, 40), BLUE)


def test_a_large_picture_is_reduced_but_not_below_what_is_asked() -> None:
    data = encoded(halves(700, 500), "BMP")
    assert opened(readable(data, 100)).size == (140, 100)
    assert opened(readable(data, 240)).size == (350, 250)
    assert opened(readable(data, 300)).size == (700, 500)


def test_of_several_pictures_the_first_is_taken() -> None:
    first, second = Image.new("RGB", (32, 32), RED), Image.new("RGB", (32, 32), BLUE)
    for name in ("GIF", "TIFF", "AVIF", "MPO"):
        data = encoded(first, name, save_all=True, append_images=[second])
        assert is_near(opened(preview(data, 64)), (5, 5), RED), name


@pytest.mark.parametrize("name", ["GIF", "TIFF", "AVIF"])
def test_transparency_is_kept_for_the_encoder(name: str) -> None:
    image = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 32, 16))
    made = opened(readable(encoded(image, name))).convert("RGBA")
    assert made.getpixel((5, 30))[3] == 0  # type: ignore[index]
    assert made.getpixel((5, 5))[3] == 255  # type: ignore[index]


def test_sixteen_bits_keep_their_high_ones() -> None:
    values = np.full((20, 20), 0x8000, np.uint16)
    data = encoded(Image.fromarray(values), "TIFF")
    assert decode(readable(data)).getpixel((5, 5)) == (128, 128, 128)
    assert is_near(opened(preview(data, 20)), (5, 5), (128, 128, 128))


def test_print_colours_are_converted() -> None:
    data = encoded(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "TIFF")
    assert is_near(decode(readable(data)), (5, 5), RED)


# --- which way up --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIC"])
def test_a_picture_is_turned_upright(name: str) -> None:
    """6: what is above lies to the right."""
    turned = halves().transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[274] = 6
    is_heic = name == "HEIC"
    data = heic(turned, exif=exif.tobytes()) if is_heic else encoded(turned, name, exif=exif)
    shown = opened(preview(data, 64))
    assert shown.size == (64, 48)
    assert is_near(shown, (10, 5), RED)
    assert is_near(shown, (10, 40), BLUE)
    assert is_near(decode(readable(data)), (10, 40), BLUE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_orientation_is_undone_as_pillow_does(orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    data = encoded(picture(2, 64, 48), "JPEG", exif=exif, quality=95)
    wanted = ImageOps.exif_transpose(opened(data))
    shown = opened(preview(data, 64))
    assert np.abs(np.asarray(shown, np.int16) - np.asarray(wanted, np.int16)).mean() < 10


# --- what a page shows ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "shown"),
    [((640, 480), (128, 96)), ((480, 640), (96, 128)), ((64, 48), (64, 48)), ((2, 900), (1, 128))],
)
def test_a_preview_has_a_bounded_longer_side(size: tuple[int, int], shown: tuple[int, int]) -> None:
    for name in ("JPEG", "PNG"):
        image = opened(preview(encoded(picture(1, *size), name), 128))
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", shown)


def test_a_preview_holds_no_metadata() -> None:
    exif = Image.Exif()
    exif[271] = "Apple"
    options = {"exif": exif, "xmp": b"<secret/>", "comment": b"secret", "icc_profile": b"secret"}
    made = preview(encoded(picture(1, 64, 48), "JPEG", **options), 64)
    assert b"secret" not in made
    assert b"Apple" not in made
    assert not {"exif", "xmp", "comment", "icc_profile"} & opened(made).info.keys()


def test_a_transparent_preview_lies_on_white() -> None:
    data = encoded(Image.new("RGBA", (32, 32), (0, 0, 0, 0)), "PNG")
    assert is_near(opened(preview(data, 16)), (5, 5), (255, 255, 255))
    palette = Image.new("P", (32, 32), 0)
    data = encoded(palette, "GIF", transparency=0)
    assert is_near(opened(preview(data, 16)), (5, 5), (255, 255, 255))


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"x" * 100, b"%PDF-1.4", b"\0\0\0\x18ftypmp42" + bytes(16)])
def test_what_is_no_picture_is_rejected(data: bytes) -> None:
    for read in (readable, media_type, lambda data: preview(data, 64)):
        with pytest.raises(RejectedImage, match="no picture in a format that is read"):
            read(data)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF", "BMP", "JPEG2000"])
def test_a_picture_that_was_cut_short_is_rejected(name: str) -> None:
    data = encoded(picture(1, 200, 100), name)
    with pytest.raises(RejectedImage, match="cannot be decoded"):
        preview(data[: len(data) // 2], 64)


def test_a_cut_jpeg_says_so() -> None:
    with pytest.raises(RejectedImage, match="the JPEG is truncated, after 1000 bytes"):
        preview(jpeg(1, 200, 200)[:1_000], 64)


def test_a_jpeg_may_lack_its_end_marker() -> None:
    data = jpeg(1, 64, 48)
    assert preview(data[:-2], 64) == preview(data, 64)


def test_too_many_pixels_are_rejected_before_they_are_decoded() -> None:
    data = bytearray(encoded(halves(), "BMP"))
    data[18:26] = struct.pack("<ii", 10_000, 10_000)
    for read in (readable, lambda data: preview(data, 64)):
        with pytest.raises(RejectedImage, match="more than 50000000 pixels: 100000000"):
            read(bytes(data))


def test_a_tiff_of_one_huge_tile_is_rejected() -> None:
    fields = {256: 64, 257: 48, 258: 8, 259: 8, 262: 1, 322: 65_520, 323: 65_520, 324: 8, 325: 8}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items())
    data = b"II*\0" + struct.pack("<IH", 8, len(fields)) + entries + bytes(4)
    with pytest.raises(RejectedImage, match="more than 50000000 pixels: 4292870400"):
        readable(data)


def test_a_large_jpeg_is_decoded_at_a_fraction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "MAX_PIXELS", 10_000)
    data = jpeg(1, 400, 300)
    assert opened(preview(data, 100)).size == (100, 75)
    with pytest.raises(RejectedImage, match="more than 10000 pixels: 120000"):
        preview(data, 400)


def test_a_jpeg_of_a_thousand_scans_is_rejected() -> None:
    with pytest.raises(RejectedImage, match="more than 100 scans"):
        preview(jpeg() + b"\xff\xda" * 1_000, 64)


def test_samples_with_a_fraction_are_rejected() -> None:
    data = encoded(Image.new("F", (20, 20), 0.5), "TIFF")
    with pytest.raises(RejectedImage, match="32 bits"):
        readable(data)


def test_a_heic_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    formats._plugin.cache_clear()
    data = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    wanted = r"the image is HEIC, which needs: .*\[heic\]\" \(its wheel is under the GPL\)"
    for read in (readable, lambda data: preview(data, 64)):
        with pytest.raises(RejectedImage, match=wanted):
            read(data)
    formats._plugin.cache_clear()


@pytest.mark.parametrize("name", ["GIF", "TIFF", "AVIF", "BMP", "JPEG2000", "JPEG", "PNG", "WEBP"])
def test_damage_raises_nothing_but_a_rejection(name: str) -> None:
    data = encoded(picture(1, 40, 30), name)
    rng = np.random.default_rng(1)
    for _ in range(15):
        damaged = bytearray(data)
        for place in rng.integers(0, min(len(data), 400), 6):
            damaged[place] = rng.integers(256)
        for read in (readable, lambda data: preview(data, 20)):
            with suppress(RejectedImage):
                assert read(bytes(damaged))


def test_suffixes_are_lower_case_and_none_is_of_a_raw_format() -> None:
    assert {".jpg", ".heic", ".avif", ".jp2"} <= PICTURE_SUFFIXES
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in PICTURE_SUFFIXES)
    assert not {".dng", ".cr2", ".nef", ".arw", ".mp4", ".json"} & PICTURE_SUFFIXES


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_upright_size_is_that_of_the_preview(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(1, 60, 40), "JPEG", exif=exif)
    with Image.open(io.BytesIO(preview(data, 960))) as shown:
        assert upright_size(data) == shown.size


@pytest.mark.parametrize("data", [b"", b"<html>", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_what_has_no_header_has_no_size(data: bytes) -> None:
    with pytest.raises(RejectedImage):
        upright_size(data)
