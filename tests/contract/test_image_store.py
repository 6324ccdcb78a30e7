"""What every `ImageStore` does; what only the folder does is in `test_files.py`."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from imagesearch.domain.errors import InvalidRequest, NotFound
from imagesearch.ports import ImageStore

JPEG = b"\xff\xd8\xff\xff\xd9"
HOSTILE_NAMES = [
    "",
    ".",
    "..",
    "../outside.jpg",
    "/etc/passwd",
    "a/b.jpg",
    "a\\b.jpg",
    ".hidden",
    "a\x00.jpg",
    "a.jpg\n",
    "ünïcode.jpg",
    "a b.jpg",
    "x" * 201,
    "\ud800.jpg",
]


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff\xd8 a picture" * 50_000])
def test_what_was_put_comes_back(image_store: ImageStore, data: bytes) -> None:
    image_store.put("pixabay-1.jpg", data)
    assert image_store.get("pixabay-1.jpg") == data


def test_a_name_that_was_never_put_is_not_found(image_store: ImageStore) -> None:
    with pytest.raises(NotFound, match=r"pixabay-2\.jpg"):
        image_store.get("pixabay-2.jpg")


def test_a_later_put_replaces_an_earlier_one(image_store: ImageStore) -> None:
    image_store.put("pixabay-1.jpg", b"first, and longer")
    image_store.put("pixabay-1.jpg", b"second")
    assert image_store.get("pixabay-1.jpg") == b"second"


def test_existing_names_those_that_are_stored(image_store: ImageStore) -> None:
    image_store.put("a.jpg", JPEG[:-2] + b"1" + JPEG[-2:])
    image_store.put("b.jpg", JPEG)
    assert image_store.existing(["a.jpg", "b.jpg", "c.jpg", "a.jpg"]) == {"a.jpg", "b.jpg"}
    assert image_store.existing([]) == set()


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_hostile_name_is_refused_by_every_method(image_store: ImageStore, name: str) -> None:
    with pytest.raises(InvalidRequest, match="object name must match"):
        image_store.put(name, b"x")
    with pytest.raises(InvalidRequest, match="object name must match"):
        image_store.get(name)
    with pytest.raises(InvalidRequest, match="object name must match"):
        image_store.existing([name])
    with pytest.raises(InvalidRequest, match="object name must match"):
        image_store.delete([name])


def test_the_longest_name_is_stored(image_store: ImageStore) -> None:
    image_store.put("x" * 200, JPEG)
    assert image_store.existing(["x" * 200]) == {"x" * 200}


def test_readers_see_one_whole_version_while_writers_replace_it(image_store: ImageStore) -> None:
    versions = [bytes([n]) * (200_000 + n) for n in range(4)]
    whole = {hashlib.sha256(version).digest() for version in versions}
    image_store.put("one.jpg", versions[0])

    def write(n: int) -> None:
        image_store.put("one.jpg", versions[n % 4])

    def read(_: int) -> bytes:
        return hashlib.sha256(image_store.get("one.jpg")).digest()

    with ThreadPoolExecutor(8) as threads:
        writes = [threads.submit(write, n) for n in range(40)]
        seen = set(threads.map(read, range(80)))
        for one in writes:
            one.result()
    assert seen <= whole


def test_what_is_deleted_is_gone_and_what_was_absent_is_no_error(image_store: ImageStore) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        image_store.put(name, JPEG)
    assert image_store.delete(["a.jpg", "b.jpg", "d.jpg", "a.jpg"]) == 2
    assert image_store.delete(["a.jpg"]) == image_store.delete([]) == 0
    assert image_store.existing(["a.jpg", "b.jpg", "c.jpg"]) == {"c.jpg"}
    with pytest.raises(NotFound):
        image_store.get("a.jpg")
    image_store.put("a.jpg", JPEG)
    assert image_store.get("a.jpg") == JPEG
