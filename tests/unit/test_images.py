"""Any bytes become an upright RGB picture, or a rejection that says why."""

from __future__ import annotations

import itertools
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imagesearch.domain.errors import RejectedImage
from inference_service.images import (
    MAX_ASPECT,
    MAX_DECODING_SECONDS,
    MAX_MEMORY_BYTES,
    MAX_WORK,
    MIN_SIDE,
    Framing,
    decode,
    plan,
)
from inference_service.picture_files import MAX_CHUNKS, MAX_SCANS, MAX_SEGMENTS, undecodable
from tools.pictures import encoded, jpeg, picture, run_jpeg, segment

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def plain(mode: str, colour: object, side: int = 16) -> Image.Image:
    return Image.new(mode, (side, side), colour)  # type: ignore[arg-type]


def pixel(image: Image.Image, x: int = 0, y: int = 0) -> tuple[int, ...]:
    value = image.getpixel((x, y))
    assert isinstance(value, tuple)
    return value


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    """Return a chunk of a PNG."""
    crc = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + crc


def png(
    width: int, height: int, depth: int, colour: int, rows: bytes, *chunks: bytes, end: bytes = b""
) -> bytes:
    """Return a PNG of unfiltered *rows*, with *chunks* before its pixels and *end* after them."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    length = len(rows) // height
    filtered = b"".join(b"\0" + rows[i : i + length] for i in range(0, len(rows), length or 1))
    pixels = chunk(b"IDAT", zlib.compress(filtered)) if rows else chunk(b"IDAT")
    parts = (b"\x89PNG\r\n\x1a\n", header, *chunks, pixels, end, chunk(b"IEND"))
    return b"".join(parts)


def huge_png(width: int, height: int) -> bytes:
    """Return a PNG whose header promises *width* x *height* pixels and that holds none."""
    return png(width, height, 8, 2, b"")


def flat_jpeg(
    width: int, height: int, *, scans: int = 0, kind: int = 0xC0, components: int = 1
) -> bytes:
    """
    Return a grey JPEG whose every code is a zero bit, with a first scan and *scans* empty ones.

    Of more than one component only the header is right.
    """
    ids = range(1, components + 1)
    frame = struct.pack(">BHHB", 8, height, width, components)
    tables = segment(0xDB, b"\0" + b"\1" * 64) + b"".join(
        segment(0xC4, bytes((table, 1)) + bytes(16)) for table in (0, 0x10)
    )
    is_progressive = kind == 0xC2
    scan = bytes((components,)) + b"".join(bytes((i, 0)) for i in ids)
    blocks = (-(-width // 8)) * (-(-height // 8))
    first = segment(0xDA, scan + bytes((0, 0 if is_progressive else 63, 0)))
    again = segment(0xDA, b"\1\1\0\1\x3f\0") + bytes(-(-blocks // 8))
    return b"".join(
        (
            b"\xff\xd8",
            segment(kind, frame + b"".join(bytes((i, 0x11, 0)) for i in ids)),
            tables,
            first + bytes(-(-blocks * (1 if is_progressive else 2) // 8)),
            again * scans,
            b"\xff\xd9",
        )
    )


def riff(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes that are no JPEG, PNG or WebP"),
        (b"<!DOCTYPE html><title>429 Too Many Requests</title>", "an HTML page, no JPEG, PNG or"),
        (b"\xff\xd8\xff", "no JPEG, PNG or WebP|cannot be decoded"),
        (b"[ERROR 400] Invalid or missing API key", "no JPEG, PNG or WebP"),
        (encoded(plain("RGB", RED), "GIF"), "a GIF image, no JPEG, PNG or WebP"),
        (encoded(plain("RGB", RED), "TIFF"), "a TIFF image, no JPEG, PNG or WebP"),
        (jpeg(0, 320, 200)[:-1000], "JPEG is truncated: it was cut short"),
        (encoded(picture(0, 320, 200), "PNG")[:-1000], "PNG is truncated: it was cut short"),
        (encoded(picture(0, 320, 200), "WEBP")[:-1000], "WebP is truncated: it was cut short"),
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


def test_an_image_of_as_many_pixels_as_may_be_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(plain("RGB", RED, 20))
    monkeypatch.setattr("inference_service.images.MAX_PIXELS", 400)
    assert decode(data).size == (20, 20)
    monkeypatch.setattr("inference_service.images.MAX_PIXELS", 399)
    with pytest.raises(RejectedImage, match="more than 399 pixels: 20 x 20"):
        decode(data)


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


# --- what is slow or large on purpose ------------------------------------------------------------


def too_many(parts: Callable[[int], bytes], most: int) -> list[tuple[bytes, int]]:
    return [(parts(most + 1), most), (parts(10 * most), most)]


SQUARE = encoded(plain("RGB", RED), "WEBP")[12:]
EXTENDED = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\x0f\0\0" * 2


@pytest.mark.parametrize(
    ("data", "most"),
    [
        *too_many(lambda n: flat_jpeg(64, 64, scans=n, kind=0xC2), MAX_SCANS),
        *too_many(lambda n: b"\xff\xd8" + segment(0xFE) * n + jpeg()[2:], MAX_SEGMENTS),
        *too_many(lambda n: b"\xff\xd8" + segment(0xE1) * n + jpeg()[2:], MAX_SEGMENTS),
        *too_many(lambda n: b"\xff\xd8" + b"\xff\x01" * n + jpeg()[2:], MAX_SEGMENTS),
        *too_many(lambda n: jpeg()[:-2] + segment(0xFE) * n + b"\xff\xd9", MAX_SEGMENTS),
        *too_many(lambda n: png(8, 8, 8, 0, bytes(64), chunk(b"tEXt", b"a\0b") * n), MAX_CHUNKS),
        *too_many(lambda n: png(8, 8, 8, 0, bytes(64), chunk(b"IDAT") * n), MAX_CHUNKS),
        *too_many(lambda n: png(8, 8, 8, 0, bytes(64), end=chunk(b"prVt") * n), MAX_CHUNKS),
        *too_many(lambda n: riff(EXTENDED, (b"ABCD" + bytes(4)) * n, SQUARE), MAX_CHUNKS),
        *too_many(lambda n: riff(EXTENDED, SQUARE, (b"ABCD" + bytes(4)) * n), MAX_CHUNKS),
    ],
)  # fmt: skip
def test_a_file_of_more_parts_than_any_harmless_one_is_rejected_with_their_bound(
    data: bytes, most: int
) -> None:
    with pytest.raises(RejectedImage, match=f"more than {most} (scans|segments|chunks) in a"):
        decode(data)


def test_tables_that_would_keep_python_busy_are_rejected() -> None:
    tables = segment(0xDB, (b"\0" + b"\1" * 64) * 1000)
    with pytest.raises(RejectedImage, match="more than 65536 bytes of tables in a JPEG"):
        decode(b"\xff\xd8" + tables * 2 + jpeg()[2:])


def test_twelve_scans_and_three_hundred_segments_are_harmless() -> None:
    assert decode(flat_jpeg(64, 64, scans=11, kind=0xC2)).size == (64, 64)
    assert decode(b"\xff\xd8" + segment(0xE2, bytes(60_000)) * 300 + jpeg()[2:]).size == (64, 48)


def test_what_is_hidden_behind_a_picture_does_not_count() -> None:
    whole = jpeg() + flat_jpeg(64, 64, scans=100, kind=0xC2)
    assert decode(whole).size == (64, 48)


def test_scans_that_go_over_more_coefficients_than_five_seconds_allow_are_rejected() -> None:
    """They are some bytes each, and would take half a minute within one block of the file."""
    data = run_jpeg(19_300, MAX_SCANS)
    assert len(data) < 65_536
    with pytest.raises(RejectedImage, match=f"23839360000 coefficients, of at most {MAX_WORK}"):
        plan(data, draft_side=448)
    with pytest.raises(RejectedImage, match=f"6195200000 coefficients, of at most {MAX_WORK}"):
        plan(run_jpeg(8_800, 40)[:-2], draft_side=448)  # unended, so decoded twice
    assert plan(run_jpeg(19_300, 12), draft_side=448).work == 12 * 19_300**2


@pytest.mark.parametrize("format_name", ["JPEG", "PNG"])
def test_a_picture_that_keeps_its_decoder_too_long_is_rejected(format_name: str) -> None:
    data = encoded(picture(0, 640, 480), format_name, quality=50)
    block = {"JPEG": 4_096, "PNG": 65_536}[format_name]
    assert len(data) > 2 * block, "it is read in several blocks"
    seconds = itertools.count(0, MAX_DECODING_SECONDS)
    with pytest.raises(RejectedImage, match="takes more than 5 seconds"):
        plan(data).picture(clock=lambda: float(next(seconds)))
    assert plan(data).picture(clock=lambda: 7e9).image.size == (640, 480)


@pytest.mark.parametrize(("is_progressive", "block"), [(True, 4_096), (False, 65_536)])
def test_the_clock_is_asked_for_each_four_kilobytes_of_a_jpeg_that_is_much_work(
    is_progressive: bool, block: int
) -> None:
    image = picture(0, 2_000, 1_800)
    data = encoded(image, quality=90, subsampling=0, progressive=is_progressive)
    decoding, asked = plan(data), itertools.count()
    assert (decoding.work > 100_000_000) is is_progressive
    decoding.picture(clock=lambda: 0.0 * next(asked))
    assert len(data) / block / 2 < next(asked) < 2 * len(data) / block
    assert len(data) / block > 10


@pytest.mark.parametrize("size", [(9_504, 6_336), (12_000, 9_000), (16_320, 12_240)])
def test_a_large_jpeg_of_a_camera_is_held_against_the_size_at_which_it_is_decoded(
    size: tuple[int, int],
) -> None:
    data = flat_jpeg(*size)
    assert decode(data, draft_side=448).size == (size[0] // 8, size[1] // 8)
    with pytest.raises(RejectedImage, match=f"more than 50000000 pixels: {size[0]} x {size[1]}"):
        decode(data)


def test_no_picture_has_more_pixels_than_a_sane_one() -> None:
    with pytest.raises(RejectedImage, match="more than 500000000 pixels: 65500 x 8000"):
        plan(flat_jpeg(65_500, 8_000), draft_side=448)


def test_a_jpeg_that_is_kept_whole_until_its_last_scan_is_held_against_that() -> None:
    """At whatever fraction it is decoded, its coefficients are all in the memory."""
    in_one_scan = plan(flat_jpeg(16_000, 12_000, components=3), draft_side=448)
    progressive = plan(flat_jpeg(8_000, 6_000, kind=0xC2, components=3), draft_side=448)
    assert in_one_scan.memory_bytes == 2_000 * 1_500 * 8
    assert progressive.memory_bytes == 1_000 * 750 * 8 + 8_000 * 6_000 * 3 * 2
    with pytest.raises(RejectedImage, match=f"bytes of memory, of at most {MAX_MEMORY_BYTES}"):
        plan(flat_jpeg(16_000, 12_000, kind=0xC2, components=3), draft_side=448)


PEAK = """
import io, sys
from PIL import Image
from inference_service.images import decode

def peak():
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024

data = sys.stdin.buffer.read()
decode(data)
image, key = {
    "RGBA": (Image.new("RGBA", (3000, 3000), (255, 0, 0, 128)), None),
    "I;16": (Image.new("I;16", (3000, 3000), 7), 7),
}[sys.argv[1]]
image.save(buffer := io.BytesIO(), "PNG", compress_level=1, transparency=key)
del image
before = peak()
decode(buffer.getvalue())
print((peak() - before) / 9e6)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
@pytest.mark.parametrize("mode", ["RGBA", "I;16"])
def test_a_transparent_picture_takes_the_memory_of_itself_and_of_its_copy_on_white(
    mode: str,
) -> None:
    """Twice 4 bytes a pixel, or 2 and 4, of which the one made for the test had as many."""
    environment = {"PATH": os.environ["PATH"]}
    command = [sys.executable, "-c", PEAK, mode]
    said = subprocess.check_output(command, input=jpeg(), env=environment)
    assert float(said) < 6


def test_a_transparent_picture_is_composed_in_strips_as_it_would_be_whole() -> None:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (1500, 1100, 4), dtype=np.uint8))
    whole = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    composed = decode(encoded(image, "PNG", compress_level=1))
    assert np.array_equal(np.asarray(composed), np.asarray(whole))


def test_of_an_exif_block_the_orientation_alone_is_read() -> None:
    """Pillow would copy the megabytes that each entry points at: 60 GB."""
    entries = struct.pack("<HHII", 0x9286, 7, 5_000_000, 8) * 12_000
    turned = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    exif = b"II*\0" + struct.pack("<IH", 8, 12_001) + turned + entries + bytes(5_000_000)
    data = png(16, 8, 8, 0, bytes(128), chunk(b"eXIf", exif))
    assert decode(data).size == (8, 16)


# --- what a decoder may choke on, and what it may not --------------------------------------------


def with_text(*, compressed: bool) -> bytes:
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", "x" * 2_000_000, zip=compressed)
    info.add_text("Comment", "x" * 2_000_000, zip=compressed)
    return encoded(plain("RGB", RED), "PNG", pnginfo=info)


@pytest.mark.parametrize(
    "data",
    [
        with_text(compressed=True),
        with_text(compressed=False),
        encoded(plain("RGB", RED), "PNG", icc_profile=bytes(2_000_000)),
        png(8, 8, 8, 2, bytes(RED) * 64, chunk(b"tIME", b"1234567")[:-1] + b"!"),
        png(8, 8, 8, 2, bytes(RED) * 64, chunk(b"iCCP", b"no end")),
        png(8, 8, 8, 2, bytes(RED) * 64, end=chunk(b"zTXt", b"a\0\0garbage")),
    ],
)
def test_what_a_png_says_beside_its_pixels_does_not_spoil_them(data: bytes) -> None:
    assert pixel(decode(data)) == RED


JPEGS = {
    "baseline": encoded(picture(1, 320, 200)),
    "progressive": encoded(picture(1, 320, 200), progressive=True),
    "grey": encoded(picture(1, 320, 200).convert("L")),
    "cmyk": encoded(picture(1, 320, 200).convert("CMYK")),
    "restarts": encoded(picture(1, 320, 200), restart_marker_rows=1),
}


@pytest.mark.parametrize("data", JPEGS.values(), ids=JPEGS)
@pytest.mark.parametrize("draft_side", [None, 40])
def test_a_jpeg_may_lack_its_end_marker_and_nothing_else(
    data: bytes, draft_side: int | None
) -> None:
    whole = decode(data, draft_side=draft_side).tobytes()
    for unended in (data[:-2], data[:-1], data[:-2] + bytes(99)):
        assert decode(unended, draft_side=draft_side).tobytes() == whole
    for length in (len(data) // 2, len(data) // 3, 700, 300):
        with pytest.raises(RejectedImage, match="JPEG is truncated: it was cut short"):
            decode(data[:length], draft_side=draft_side)


def test_a_webp_may_lack_what_follows_its_pixels() -> None:
    exif = Image.Exif()
    exif[0x010E] = "x" * 500
    data = encoded(plain("RGB", RED), "WEBP", exif=exif)
    assert decode(data[:-400]).size == (16, 16)
    with pytest.raises(RejectedImage, match=r"WebP is truncated: it was cut short after \d+ bytes"):
        decode(data[:60])


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC image"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf", "a HEIC image"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "an AVIF image"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "an AVIF image"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isommp41", "an MP4 video"),
        (b"\0\0\0\x14ftypqt  \0\0\2\0qt  ", "a QuickTime video"),
        (b"\x1a\x45\xdf\xa3\x9f", "a WebM or Matroska video"),
        (b"RIFF\0\0\0\0AVI LIST", "an AVI video"),
        (b"\xff\x0a\xfa\x1f", "a JPEG XL image"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
        (encoded(plain("RGB", RED), "BMP"), "a BMP image"),
        (encoded(plain("RGB", RED), "GIF"), "a GIF image"),
        (encoded(plain("RGB", RED), "ICO"), "an ICO icon"),
        (encoded(plain("RGB", RED), "PPM"), "a PNM image"),
        (encoded(plain("RGB", RED), "AVIF"), "an AVIF image"),
        (encoded(plain("RGB", RED), "JPEG2000"), "a JPEG 2000 image"),
        (encoded(plain("RGB", RED), "PDF"), "a PDF document"),
        (b"8BPS\0\1", "a Photoshop document"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        (b"<svg/>", "an SVG drawing"),
        (b"\n<HTML><svg/>", "an HTML page"),
        (b"PK\3\4", "a ZIP archive"),
    ],
)
def test_a_rejection_names_the_format_that_is_not_read(data: bytes, name: str) -> None:
    with pytest.raises(RejectedImage, match=f"^{name}, no JPEG, PNG or WebP image; only those are"):
        decode(data)


# --- transparency --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depth", "colour", "rows", "key", "seen"),
    [
        (16, 0, [0x1234, 0x1235, 0x8000], [0x1234], [WHITE, (0x12,) * 3, (0x80,) * 3]),
        (16, 2, [0x1200] * 3 + [0x8000] * 3, [0x1200] * 3, [WHITE, (0x80,) * 3]),
        (16, 4, [0x4000, 0, 0x4000, 0xFFFF], None, [WHITE, (0x40,) * 3]),
        (16, 6, [0x4000] * 3 + [0] + [0x4000] * 3 + [0xFFFF], None, [WHITE, (0x40,) * 3]),
        (8, 0, [0x12, 0x80], [0x12], [WHITE, (0x80,) * 3]),
        (4, 0, [0x19], [1], [WHITE, (0x99,) * 3]),
        (2, 0, [0b01_10_00_00], [1], [WHITE, (0xAA,) * 3, (0,) * 3]),
        (1, 0, [0b01_000000], [0], [(0,) * 3, WHITE]),
    ],
)
def test_transparent_parts_are_laid_on_white_at_every_depth(
    depth: int, colour: int, rows: list[int], key: list[int] | None, seen: list[tuple[int, ...]]
) -> None:
    """The samples repeat to the right, in units of whole bytes."""
    bits = {0: 1, 2: 3, 4: 2, 6: 4}[colour] * depth
    row = b"".join(value.to_bytes(max(depth, 8) // 8, "big") for value in rows)
    width = len(row) * 16 * 8 // bits
    chunks = [chunk(b"tRNS", struct.pack(f">{len(key)}H", *key))] if key else []
    image = decode(png(width, 8, depth, colour, row * 16 * 8, *chunks))
    assert [pixel(image, x) for x in range(len(seen))] == seen


@pytest.mark.parametrize(
    ("drawing", "ground"),
    [
        ((255, 255, 255, 255), (0, 0, 0)),
        ((250, 250, 250, 255), (0, 0, 0)),
        ((255, 255, 255, 128), (0, 0, 0)),
        ((255, 255, 200, 255), WHITE),
        ((225, 225, 225, 255), WHITE),
        ((0, 0, 0, 255), WHITE),
        ((0, 0, 0, 5), WHITE),  # there is nothing to see on either
        ((255, 255, 255, 0), WHITE),
    ],
)
@pytest.mark.parametrize("format_name", ["PNG", "WEBP"])
def test_a_drawing_that_nothing_can_be_seen_of_on_white_is_laid_on_black(
    drawing: tuple[int, ...], ground: tuple[int, ...], format_name: str
) -> None:
    image = plain("RGBA", (0, 0, 0, 0), 64)
    image.paste(drawing, (16, 16, 48, 48))
    assert pixel(decode(encoded(image, format_name, lossless=True))) == ground


def test_a_thin_white_line_is_seen() -> None:
    image = plain("RGBA", (0, 0, 0, 0), 600)
    image.paste((255, 255, 255, 255), (0, 301, 600, 302))
    assert pixel(decode(encoded(image, "PNG"))) == (0, 0, 0)


PALETTE = chunk(b"PLTE", bytes((9, 9, 9, 200, 200, 200)))


@pytest.mark.parametrize(
    ("colour", "chunks", "seen"),
    [
        (0, [chunk(b"tRNS", b"\0")], (0, 0, 0)),
        (0, [chunk(b"tRNS", bytes(4))], (0, 0, 0)),
        (0, [chunk(b"tRNS"), chunk(b"tRNS", bytes(2))], WHITE),
        (2, [chunk(b"tRNS", bytes(2))], (0, 0, 0)),
        (2, [chunk(b"tRNS", bytes(6))], WHITE),
        (3, [PALETTE, chunk(b"tRNS", bytes(3))], (9, 9, 9)),
        (3, [PALETTE, chunk(b"tRNS", bytes(300))], (9, 9, 9)),
        (3, [PALETTE, chunk(b"tRNS")], (9, 9, 9)),
        (3, [chunk(b"tRNS", b"\0"), PALETTE], (9, 9, 9)),
        (3, [PALETTE, chunk(b"tRNS", b"\0")], WHITE),
    ],
)
def test_transparency_that_does_not_fit_its_png_is_left_out(
    colour: int, chunks: list[bytes], seen: tuple[int, ...]
) -> None:
    rows = bytes(16 * 16 * (3 if colour == 2 else 1))
    whole = png(16, 16, 8, colour, rows, *chunks)
    assert pixel(decode(whole)) == seen
    without_checksum = whole[: -len(chunk(b"IEND")) - 4]
    assert pixel(decode(without_checksum)) == seen


def test_a_png_that_lacks_its_palette_is_rejected_with_the_reason() -> None:
    with pytest.raises(RejectedImage, match="cannot be decoded: the PNG has colours of a palette"):
        decode(png(16, 16, 8, 3, bytes(256)))


def test_a_rejection_has_a_reason_where_the_decoder_gives_none() -> None:
    assert str(undecodable(EOFError())) == "the image cannot be decoded: EOFError"


def test_white_paper_with_an_opaque_alpha_channel_stays_white() -> None:
    assert pixel(decode(encoded(plain("RGBA", (255, 255, 255, 255)), "PNG"))) == WHITE


# --- a fraction of a JPEG ------------------------------------------------------------------------

FRAMING = Framing(64, (64, 64), Image.Resampling.BICUBIC, (1.0,) * 3, (0.0,) * 3)


@pytest.mark.parametrize("size", [(640, 427), (1281, 853), (1023, 1531), (1281, 855)])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_at_a_fraction_of_its_size_shows_the_same_at_the_same_place(
    size: tuple[int, int], orientation: int
) -> None:
    """A part of a pixel that is too much at an edge would move all others."""
    rng = np.random.default_rng(0)
    patches = Image.fromarray(rng.integers(0, 256, (12, 18, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(patches.resize(size, Image.Resampling.BICUBIC), quality=95, exif=exif)
    whole = FRAMING.frame(plan(data).picture())
    drafted = plan(data, draft_side=FRAMING.draft_side)
    assert drafted.scale > 1
    difference = np.abs(FRAMING.frame(drafted.picture()).astype(int) - whole)
    assert difference.mean() < 0.5
    assert difference.max() < 12
