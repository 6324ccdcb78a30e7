"""Any bytes become an upright RGB picture, or a rejection that says why."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from imagesearch.errors import RejectedImage
from inference_service.images import MAX_ASPECT, MIN_SIDE, decode
from tests.checkpoints import encoded, jpeg, picture

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def plain(mode: str, colour: object, side: int = 16) -> Image.Image:
    return Image.new(mode, (side, side), colour)  # type: ignore[arg-type]


def pixel(image: Image.Image, x: int = 0, y: int = 0) -> tuple[int, ...]:
    value = image.getpixel((x, y))
    assert isinstance(value, tuple)
    return value


def huge_png(width: int, height: int) -> bytes:
    """Return a PNG whose header promises *width* x *height* pixels and that holds none."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes that are no JPEG, PNG or WebP"),
        (b"<!DOCTYPE html><title>429 Too Many Requests</title>", "no JPEG, PNG or WebP"),
        (b"\xff\xd8\xff", "no JPEG, PNG or WebP|cannot be decoded"),
        (b"[ERROR 400] Invalid or missing API key", "no JPEG, PNG or WebP"),
        (encoded(plain("RGB", RED), "GIF"), "no JPEG, PNG or WebP"),
        (encoded(plain("RGB", RED), "TIFF"), "no JPEG, PNG or WebP"),
        (jpeg(0, 320, 200)[:-1000], "cannot be decoded: .*truncated"),
        (encoded(picture(0, 320, 200), "PNG")[:-1000], "cannot be decoded"),
        (encoded(picture(0, 320, 200), "WEBP")[:-1000], "cannot be decoded|no JPEG, PNG or WebP"),
        (encoded(plain("RGB", RED, 1)), f"a side under {MIN_SIDE} pixels: 1 x 1"),
        (
            encoded(Image.new("RGB", (500, MIN_SIDE - 1))),
            f"a side under {MIN_SIDE} pixels: 500 x 7",
        ),
        (encoded(Image.new("RGB", (9_000, 9)), "PNG"), "too long and thin: 9000 x 9"),
        (encoded(Image.new("RGB", (9, 9_000)), "PNG"), "too long and thin: 9 x 9000"),
        (huge_png(10_000, 10_000), "more than 50000000 pixels"),  # Pillow would only warn
        (huge_png(60_000, 60_000), "more than 50000000 pixels"),  # Pillow would raise
        (huge_png(8_000, 8_000), "more than 50000000 pixels: 8000 x 8000"),
        (huge_png(100, 100), "cannot be decoded"),
    ],
)
def test_what_is_no_usable_image_is_rejected_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(RejectedImage, match=reason):
        decode(data)


def test_damage_at_any_place_gives_a_picture_or_a_rejection_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    image = picture(0, 48, 40)
    outcomes = set()
    for original in (encoded(image), encoded(image, "PNG"), encoded(image, "WEBP")):
        for _ in range(60):
            damaged = bytearray(original)
            for place in rng.integers(0, len(damaged), 4):
                damaged[place] = rng.integers(0, 256)
            try:
                outcomes.add(decode(bytes(damaged)).mode)
            except RejectedImage:
                outcomes.add("rejected")
    assert outcomes == {"RGB", "rejected"}


def test_the_thinnest_image_that_is_not_rejected_decodes() -> None:
    longest = MAX_ASPECT * MIN_SIDE
    assert decode(encoded(Image.new("RGB", (longest, MIN_SIDE)))).size == (longest, MIN_SIDE)


def test_the_pixel_limit_is_the_callers() -> None:
    data = encoded(plain("RGB", RED, 20))
    assert decode(data, max_pixels=400).size == (20, 20)
    with pytest.raises(RejectedImage, match="more than 399 pixels: 20 x 20"):
        decode(data, max_pixels=399)


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
def test_the_three_formats_decode(format_name: str) -> None:
    image = decode(encoded(plain("RGB", RED), format_name))
    assert image.mode == "RGB"
    assert np.abs(np.subtract(pixel(image), RED)).max() <= 3


def test_cmyk_is_converted() -> None:
    image = decode(encoded(plain("CMYK", (0, 255, 255, 0)), quality=100))
    assert np.abs(np.subtract(pixel(image), RED)).max() <= 3


def test_a_palette_is_looked_up() -> None:
    image = plain("RGB", BLUE).quantize(4)
    assert image.mode == "P"
    assert pixel(decode(encoded(image, "PNG"))) == BLUE


@pytest.mark.parametrize(
    ("data", "colour"),
    [
        (encoded(plain("RGBA", (*RED, 0)), "PNG"), WHITE),
        (encoded(plain("RGBA", (*RED, 255)), "PNG"), RED),
        (encoded(plain("RGBA", (0, 0, 0, 51)), "PNG"), (204, 204, 204)),
        (encoded(plain("RGBA", (0, 0, 0, 0)), "WEBP", lossless=True), WHITE),
        (encoded(plain("LA", (0, 0)), "PNG"), WHITE),
        (encoded(plain("LA", (90, 255)), "PNG"), (90, 90, 90)),
        (encoded(plain("RGB", RED).quantize(4), "PNG", transparency=0), WHITE),
        (encoded(plain("RGB", RED).quantize(4), "PNG", transparency=b"\x00\xff"), WHITE),
        (encoded(plain("RGB", RED), "PNG", transparency=RED), WHITE),
        (encoded(plain("L", 7), "PNG", transparency=7), WHITE),
    ],
)
def test_transparent_parts_are_laid_on_white(data: bytes, colour: tuple[int, ...]) -> None:
    assert pixel(decode(data)) == colour


def test_sixteen_bit_grey_is_scaled_and_not_clipped_to_white() -> None:
    grey = np.tile(np.arange(0, 65_536, 4_096, dtype=np.uint16), (16, 1))
    image = decode(encoded(Image.fromarray(grey), "PNG"))
    assert [pixel(image, x)[0] for x in range(16)] == list(range(0, 256, 16))


@pytest.mark.parametrize("mode", ["1", "L"])
def test_grey_and_black_and_white_become_rgb(mode: str) -> None:
    assert pixel(decode(encoded(plain(mode, 255), "PNG"))) == WHITE


@pytest.mark.parametrize("format_name", ["PNG", "WEBP"])
def test_the_first_frame_of_an_animation_is_taken(format_name: str) -> None:
    rest = [plain("RGB", GREEN), plain("RGB", BLUE)]
    data = encoded(plain("RGB", RED), format_name, save_all=True, append_images=rest, lossless=True)
    assert pixel(decode(data)) == RED


@pytest.mark.parametrize(
    ("orientation", "red_at"),
    [
        (1, (2, 2)), (2, (28, 2)), (3, (28, 14)), (4, (2, 14)),
        (5, (2, 2)), (6, (14, 2)), (7, (14, 28)), (8, (2, 28)),
    ],
)  # fmt: skip
def test_an_image_is_turned_upright_as_its_exif_tag_says(
    orientation: int, red_at: tuple[int, int]
) -> None:
    image = Image.new("RGB", (32, 18), BLUE)
    image.paste(RED, (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = decode(encoded(image, "PNG", exif=exif))
    assert turned.size == ((32, 18) if orientation < 5 else (18, 32))
    assert pixel(turned, *red_at) == RED
    assert np.all(np.asarray(turned) == RED, axis=2).sum() == 64


# Outside of tests images.py has Pillow's warnings about metadata ignored.
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\x00\x00",
        b"Exif\x00\x00garbage that is no TIFF header",
        b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\xff\xff",
        b"Exif\x00\x00II\x2a\x00\x08\x00\x00\x00\x01\x00\x12\x01\x02\x00\xff\xff\xff\x7f\x06\x00\x00",
        b"Exif\x00\x00II\x2a\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x63\x00\x00",
    ],
)
def test_a_corrupt_exif_block_does_not_spoil_a_fine_image(exif: bytes) -> None:
    assert decode(encoded(plain("RGB", RED), exif=exif)).size == (16, 16)
