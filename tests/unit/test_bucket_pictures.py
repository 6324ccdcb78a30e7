"""Pictures of buckets: what their bytes say, and what is kept to be shown."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from imagesearch.domain.collections import CollectedFile, ListedFile, Stamp
from imagesearch.folders.bucket import BucketPictures
from tools.pictures import encoded, picture

GPS, TAKEN = 34853, 36867


def read(data: bytes, size: int = 0, *, keeps_place: bool = False) -> tuple[CollectedFile, bytes]:
    listed = ListedFile("2019/1.jpg", Stamp(size or len(data), 7))
    return BucketPictures(300_000).read(listed, data, keeps_place=keeps_place)


def photograph() -> bytes:
    """Return a JPEG on its side, which says when and where it was taken."""
    exif = Image.Exif()
    exif[274] = 6
    exif.get_ifd(34665)[TAKEN] = "2019:07:01 12:00:00"
    exif.get_ifd(GPS).update({1: "N", 2: (45.0, 26.0, 0.0), 3: "E", 4: (12.0, 20.0, 0.0)})
    return encoded(picture(1, 1200, 800), quality=60, exif=exif)


def test_a_preview_is_upright_small_and_has_pixels_alone() -> None:
    file, preview = read(photograph(), keeps_place=True)
    assert (file.size, file.facts.year, file.stamp) == ((800, 1200), 2019, file.known_by)
    assert file.facts.place == pytest.approx((45.433333, 12.333333))
    with Image.open(io.BytesIO(preview)) as image:
        assert (image.format, image.size) == ("JPEG", (640, 960))
        assert not image.getexif()
        assert image.info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_xmp_files_beside_it_say_more_of_a_picture() -> None:
    pictures = BucketPictures(300_000)
    paths = ["2019/1.jpg", "2019/1.XMP", "1.xmp", "2020/1.jpg", "2020/1.jpg.xmp", "2020/1.xmp"]
    assert pictures.sidecars(paths) == {
        "2019/1.jpg": ["2019/1.XMP"],
        "2020/1.jpg": ["2020/1.jpg.xmp", "2020/1.xmp"],
    }
    document = (
        b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description'
        b' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4"/></rdf:RDF>'
    )
    stamp = Stamp(1, 7)
    listed = ListedFile("2019/1.jpg", stamp, sidecars=(("2019/1.XMP", stamp),))
    data = photograph()
    file, _ = pictures.read(listed, data, keeps_place=False, documents=[b"no XMP", document])
    assert (file.facts.rating, file.facts.year) == (4, 2019)
    assert file.own is not None
    assert file.own.rating == 0


def test_the_place_is_kept_where_that_is_asked_for_alone() -> None:
    data = photograph()
    file, _ = read(data)
    kept, _ = read(data, keeps_place=True)
    assert file.facts.place is None
    assert kept.facts.place is not None
    assert file.image_id == kept.image_id


@pytest.mark.parametrize(
    ("data", "size", "problem"),
    [
        (b"", 0, "it has 0 bytes"),
        (b"", 300_001, "it has 300001 bytes, of at most 300000"),
        (b"x" * 300_001, 0, "it has 300001 bytes or more, of at most 300000"),
        (b"<html>", 0, "6 bytes that are no picture in a format that is read"),
    ],
)
def test_what_cannot_be_read_is_a_problem(data: bytes, size: int, problem: str) -> None:
    file, preview = read(data, size)
    assert (file.problem, file.image_id, preview) == (problem, "", b"")


def test_a_picture_that_is_cut_short_is_a_problem_and_no_preview() -> None:
    data = photograph()
    file, preview = read(data[: len(data) // 2])
    assert "truncated" in file.problem
    assert (file.image_id, preview) == ("", b"")


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("1.jpg", True),
        ("2019/Italy/1.HEIC", True),
        ("2019.jpg/notes", False),
        ("notes.txt", False),
        (".1.jpg", False),
        (".thumbnails/1.jpg", False),
        ("@eaDir/1.jpg", False),
        ("", False),
        ("folder/", False),
    ],
)
def test_pictures_are_told_by_their_names(path: str, *, is_one: bool) -> None:
    assert BucketPictures(1).is_picture(path) is is_one
