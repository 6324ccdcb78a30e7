"""Several sources as one: shares, duplicates, failures, and what it is called."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from imagesearch.adapters.caches.in_process import InProcessLimiter
from imagesearch.clock import SystemClock
from imagesearch.compose.fetch import compose, source_of
from imagesearch.domain.errors import (
    ImageSearchError,
    InvalidRequest,
    Overloaded,
    RejectedImage,
    SourceRefused,
    Unavailable,
)
from imagesearch.domain.images import Credit, Image, ListedImage, Listing
from imagesearch.domain.pools import PoolKey, SourceOptions
from imagesearch.settings import load_settings
from imagesearch.sources.commons import COMMONS
from imagesearch.sources.openverse import OPENVERSE
from imagesearch.sources.pixabay import PIXABAY
from imagesearch.sources.several import Several

DOWN = Unavailable("it is down")
REFUSED = SourceRefused("it refuses")


def listed(name: str, number: int, origin: str | None = None) -> ListedImage:
    image_id = f"{name}-{number}"
    image = Image(image_id, f"{image_id}.jpg", "", 1, 1, Credit("Ann", name))
    return ListedImage(image, f"https://{name}.example/{number}", origin)


@dataclass
class Shelf:
    """A source of *has* images, by *per_page*; it raises *error* once it has given them."""

    name: str
    has: int = 1000
    per_page: int = 20
    error: ImageSearchError | None = None
    origins: dict[int, str] = field(default_factory=dict)
    asked: list[SourceOptions] = field(default_factory=list)
    pages_read: int = 0
    is_closed: bool = False

    def pages(self, keyword: str, options: SourceOptions) -> Iterator[Listing]:
        self.asked.append(options)
        for first in range(0, min(self.has, options.pool_size), self.per_page):
            self.pages_read += 1
            numbers = range(first, min(first + self.per_page, self.has, options.pool_size))
            yield Listing(tuple(listed(self.name, n, self.origins.get(n)) for n in numbers))
        if self.error:
            raise self.error

    def download(self, image: ListedImage) -> bytes:
        return f"{self.name} has {image.download_url}".encode()

    def close(self) -> None:
        self.is_closed = True


def found(*shelves: Shelf, pool_size: int = 200) -> Listing:
    several = Several({one.name: one for one in shelves})
    options = SourceOptions(source="all", pool_size=pool_size)
    return Listing.joined(several.pages("horse", options))


def counted(listing: Listing) -> dict[str, int]:
    names = [one.image.image_id.partition("-")[0] for one in listing.images]
    return {name: names.count(name) for name in names}


def test_each_source_has_the_same_share_of_a_pool() -> None:
    a, b = Shelf("a", per_page=50), Shelf("b", per_page=20)
    assert counted(found(a, b)) == {"a": 100, "b": 100}
    assert (a.pages_read, b.pages_read) == (2, 5), "no more is asked than is taken"


def test_what_cannot_be_shared_evenly_fills_the_pool_all_the_same() -> None:
    assert len(found(Shelf("a"), Shelf("b"), Shelf("c"), pool_size=200).images) == 200


@pytest.mark.parametrize("has", [0, 1, 30, 99])
def test_a_source_that_has_fewer_leaves_room_for_the_other(has: int) -> None:
    expected = {"a": has, "b": 200 - has}
    assert counted(found(Shelf("a", has=has), Shelf("b"))) == {
        name: n for name, n in expected.items() if n
    }


def test_each_is_asked_by_its_own_name_for_as_many_as_there_is_room_for() -> None:
    a, b = Shelf("a"), Shelf("b")
    found(a, b, pool_size=50)
    assert a.asked == [SourceOptions(source="a", pool_size=50)]
    assert b.asked == [SourceOptions(source="b", pool_size=50)]


def test_one_picture_of_two_sources_is_one_image_and_leaves_its_place_to_another() -> None:
    """Both say that they have it from Flickr, or one has it from the other."""
    a = Shelf("a", origins={n: f"flickr-{n}" for n in range(10)})
    b = Shelf("b", origins={**{n: f"flickr-{n}" for n in range(10)}, 10: "a-10", 11: "flickr-99"})
    listing = found(a, b)
    assert counted(listing) == {"a": 100, "b": 100}
    names = {one.image.image_id for one in listing.images}
    for n in range(11):
        assert len({f"a-{n}", f"b-{n}"} & names) == 1, n
    assert {"a-11", "b-11"} <= names


def test_what_is_rejected_takes_a_place_and_keeps_its_reason() -> None:
    class Odd(Shelf):
        def pages(self, keyword: str, options: SourceOptions) -> Iterator[Listing]:
            yield Listing((listed("odd", 1),), {"odd-2": "it names no licence"})

    listing = found(Odd("odd"), Shelf("a"), pool_size=10)
    assert listing.rejections == {"odd-2": "it names no licence"}
    assert counted(listing) == {"odd": 1, "a": 8}


def test_the_first_pictures_of_one_do_not_wait_for_another() -> None:
    is_over = threading.Event()

    class Slow(Shelf):
        def pages(self, keyword: str, options: SourceOptions) -> Iterator[Listing]:
            assert is_over.wait(10)
            return super().pages(keyword, options)

    several = Several({"slow": Slow("slow"), "a": Shelf("a")})
    pages = several.pages("horse", SourceOptions(pool_size=100))
    assert counted(next(pages)) == {"a": 20}
    is_over.set()
    assert counted(Listing.joined(pages)) == {"a": 30, "slow": 50}


@pytest.mark.parametrize(
    "error", [DOWN, REFUSED, Overloaded("its day is over"), InvalidRequest("it is no keyword")]
)
def test_one_that_fails_costs_its_own_pictures_alone_and_is_logged(
    error: ImageSearchError, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert counted(found(Shelf("a", has=20, error=error), Shelf("b"))) == {"a": 20, "b": 180}
        assert counted(found(Shelf("a", has=0, error=error), Shelf("b"))) == {"b": 200}
    assert caplog.messages == [f"a finds no more for this keyword: {error}"] * 2


@pytest.mark.parametrize("errors", [(DOWN, DOWN), (REFUSED, DOWN), (DOWN, REFUSED)])
def test_all_that_fail_fail_the_pool_with_what_a_retry_can_help_first(
    errors: tuple[ImageSearchError, ImageSearchError],
) -> None:
    with pytest.raises(Unavailable, match="it is down"):
        found(*(Shelf(f"s{n}", has=20, error=error) for n, error in enumerate(errors)))


def test_all_that_refuse_are_a_refusal() -> None:
    with pytest.raises(SourceRefused, match="it refuses"):
        found(Shelf("a", has=0, error=REFUSED), Shelf("b", has=0, error=REFUSED))


def test_a_pool_is_not_empty_because_one_that_has_something_is_down() -> None:
    with pytest.raises(Unavailable, match="it is down"):
        found(Shelf("a", has=0, error=DOWN), Shelf("b", has=0))


def test_nothing_anywhere_is_an_answer() -> None:
    assert found(Shelf("a", has=0), Shelf("b", has=0)) == Listing(())


def test_an_original_comes_from_the_source_that_listed_it() -> None:
    several = Several({"a": Shelf("a"), "b": Shelf("b")})
    assert several.download(listed("b", 7)) == b"b has https://b.example/7"
    with pytest.raises(RejectedImage, match="it is of c, which is none of a b"):
        several.download(listed("c", 7))


def test_all_are_closed() -> None:
    shelves = Shelf("a"), Shelf("b")
    Several({one.name: one for one in shelves}).close()
    assert all(one.is_closed for one in shelves)


# --- what it is called, and what it is made of ---


def test_the_order_in_which_sources_are_named_makes_no_other_pool() -> None:
    typed = ["openverse,commons", "Commons, Openverse", "commons,openverse,commons"]
    keys = {PoolKey.of("horse", load_settings(source=one).source_options) for one in typed}
    assert len(keys) == 1
    assert keys.pop().options.source == "commons,openverse"


@pytest.mark.parametrize(
    ("typed", "bound"),
    [
        ("commons,elsewhere", "SOURCE: must be one of commons demo openverse pixabay, or several"),
        ("commons,", "SOURCE: must be one of"),
        ("demo,commons", "SOURCE: `demo` must stand alone, got 'demo,commons'"),
    ],
)
def test_sources_that_cannot_be_put_together_name_themselves(typed: str, bound: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        load_settings(source=typed)
    assert str(caught.value).startswith(bound)


def test_its_age_is_the_least_and_its_needs_and_hosts_are_all_of_theirs() -> None:
    settings = load_settings(source="pixabay,openverse,commons", pixabay_api_key="a-key")
    source = settings.image_source
    assert source.parts == (COMMONS, OPENVERSE, PIXABAY)
    assert settings.policy.max_age_seconds == COMMONS.max_age_seconds
    assert source.needs == ("source_contact", "pixabay_api_key")
    assert settings.source_secrets == {"PIXABAY_API_KEY": "a-key"}
    assert {*COMMONS.hosts, *OPENVERSE.hosts, *PIXABAY.hosts} == {*source.hosts}
    assert not settings.is_demo


def test_pixabay_among_them_is_asked_with_its_own_options() -> None:
    options = load_settings(source="commons,pixabay", orientation="vertical").source_options
    assert (options.source, options.orientation) == ("commons,pixabay", "vertical")


def test_a_fetcher_of_several_needs_what_each_needs() -> None:
    cloud = {"google_cloud_project": "p-12345", "images_bucket": "i"}
    with pytest.raises(InvalidRequest, match="SOURCE_CONTACT, PIXABAY_API_KEY are missing"):
        compose(load_settings(source="commons,pixabay", **cloud))


def test_each_takes_its_own_quota_and_downloads_from_its_own_hosts() -> None:
    """An Openverse that leads to Wikimedia's host is no way around the pace that one asks for."""
    limiter = InProcessLimiter()
    settings = load_settings(source="commons,openverse", source_contact="ann@example.org")
    source = source_of(settings, limiter, SystemClock())
    image = Image("openverse-1", "openverse-1.jpg", "", 1, 1, Credit("Ann", "Openverse"))
    with pytest.raises(RejectedImage, match=r"its host must be one of api\.openverse\.org"):
        source.download(ListedImage(image, f"https://{COMMONS.hosts[0]}/1.jpg"))
    taken = [*limiter._full_at]
    assert taken == ["quota:openverse:download"]
    source.close()
