"""What a hit of the listing may hold: its bounds, what is made harmless, what is never shown."""

from __future__ import annotations

import html
import json
import random
import re
import unicodedata
from typing import Any
from urllib.parse import quote, unquote, urljoin

import pytest

from imagesearch.adapters.records import MAX_LISTING_BYTES, packed
from imagesearch.clock import SystemClock
from imagesearch.domain.errors import MAX_REASON_CHARACTERS, RejectedImage
from imagesearch.domain.images import Image, ListedImage, Listing
from imagesearch.domain.keywords import is_visible
from imagesearch.sources.api_key import ApiKey
from imagesearch.sources.download import Downloader
from imagesearch.sources.pixabay import PIXABAY
from imagesearch.sources.pixabay_hits import (
    MAX_ID,
    MAX_SIDE_PIXELS,
    MAX_TAGS_BYTES,
    MAX_URL_CHARACTERS,
    MAX_USER_CHARACTERS,
    HitReader,
    parse_page,
)
from tests.unit.test_pixabay import KEY, hit

CHECK = Downloader(PIXABAY.hosts, clock=SystemClock()).check
READER = HitReader("pixabay", "Pixabay", ApiKey(KEY), CHECK)
URL = "https://pixabay.com/get/"


def read(*hits: object) -> tuple[list[Image], dict[str, str]]:
    """Return the images of *hits* as they come over the wire, and the reasons by image_id."""
    page = parse_page(json.dumps({"totalHits": len(hits), "hits": hits}).encode())
    assert page is not None
    found = READER.read(page.hits, first=1)
    images = [one.image for _, one in found if isinstance(one, ListedImage)]
    return images, {name: str(one) for name, one in found if isinstance(one, RejectedImage)}


def read_one(**changes: Any) -> Image:
    [image], _ = read(hit(1, **changes))
    return image


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (10**18, "got 1000000000000000000"),
        (-1, "got -1"),
        (int("9" * 300), "got '999999999999999999999999999999999999999…'"),
        (7.0, "got 7.0"),
        (1e300, "got 1e+300"),
        (float("nan"), "got nan"),
        (True, "got True"),
        (None, "got None"),
        ("7", "got '7'"),
        ("007", "got '007'"),
        ("../../etc", "got '../../etc'"),
        ("\ud800\x00\x1b]52;c;eA==\x07", r"got '\ud800\x00\x1b]52;c;eA==\x07'"),
        ("x" * 1_000_000, f"got '{'x' * 39}…'"),
        ([1], "got a list"),
        ({"id": 1}, "got an object"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_hit_without_a_usable_id_is_rejected_by_its_place(value: object, shown: str) -> None:
    images, reasons = read(hit(1), hit(2, id=value), hit(3))
    assert [image.image_id for image in images] == ["pixabay-1", "pixabay-3"]
    assert reasons == {"pixabay-hit-2": f"id must be a whole number from 0 to {MAX_ID}, {shown}"}


@pytest.mark.parametrize("value", [None, 7, "hit", [], [[]]])
def test_what_is_no_hit_is_rejected_by_its_place(value: object) -> None:
    images, reasons = read(value, hit(1))
    assert len(images) == 1
    assert list(reasons) == ["pixabay-hit-1"]
    assert reasons["pixabay-hit-1"].startswith("a hit must be an object, got ")


@pytest.mark.parametrize("name", ["webformatWidth", "webformatHeight"])
@pytest.mark.parametrize(
    "value",
    [0, -1, MAX_SIDE_PIXELS + 1, 2**63, int("9" * 1000), 1.5, 1e999, True, "640", "x" * 10**6, {}],
    ids=lambda value: repr(value)[:20],
)
def test_a_side_out_of_bounds_rejects_its_image_with_field_bound_and_value(
    name: str, value: object
) -> None:
    images, reasons = read(hit(1), hit(2, **{name: value}))
    assert len(images) == 1
    bound = f"{name} must be a whole number from 1 to {MAX_SIDE_PIXELS}, got "
    assert reasons["pixabay-2"].startswith(bound)
    assert len(reasons["pixabay-2"]) <= MAX_REASON_CHARACTERS


@pytest.mark.parametrize(
    "url",
    [
        URL + "x" * MAX_URL_CHARACTERS,
        URL + "x" * 1_000_000,
        URL + "a b.jpg",
        URL + "a\r\nHost: evil.com",
        URL + "ä.jpg",
        URL + "\ud800.jpg",
        "https://pixabay.com\\@evil.com/a.jpg",
        "https://user:password@pixabay.com/a.jpg",
        "https://pixabay.com@evil.com/a.jpg",
        "https://pixabay.com:8443/a.jpg",
        "https://pixabay.com:99999/a.jpg",
        "https://pixabay.com.evil.com/a.jpg",
        "https://" + "a" * 380,
        "https://[x/",
        "https://127.0.0.1/a.jpg",
        "//pixabay.com/a.jpg",
        "/get/a.jpg",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "",
        None,
        7,
        ["https://pixabay.com/get/a.jpg"],
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_download_url_that_is_none_rejects_its_image_and_names_the_field(url: object) -> None:
    images, reasons = read(hit(1), hit(2, webformatURL=url), hit(3))
    assert [image.image_id for image in images] == ["pixabay-1", "pixabay-3"]
    assert reasons["pixabay-2"].startswith("webformatURL")
    assert len(reasons["pixabay-2"]) <= MAX_REASON_CHARACTERS
    assert reasons["pixabay-2"].isprintable()


@pytest.mark.parametrize(
    "url",
    [
        "https://[x/",
        "http://[::1",
        "https://x]y/",
        "https://exa\u2100mple.com/",
        "https://pixabay.com:99999/",
        "https://pixabay.com:x/",
        "https://pixabay.com@evil.com/",
        "https://pixabay.com\\@evil.com/",
        "https:///photos/1/",
        "https:photos/1/",
        "//evil.com/",
        "///evil.com/",
        "java\nscript:alert(1)",
        " javascript:alert(1)",
        "data:text/html,x",
        "ftp://pixabay.com/",
        "https://pixabay.com/" + "x" * 1_000_000,
        ["https://pixabay.com/"],
        {},
        7,
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_page_link_that_is_none_is_left_out_and_the_image_stays(url: object) -> None:
    assert read_one(pageURL=url).page_url == ""


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("https://pixabay.com/photos/1/?a=b#c", "https://pixabay.com/photos/1/?a=b#c"),
        (" http://pixabay.com:8080/ ", "http://pixabay.com:8080/"),
        ("https://pixabay.com/größe ä%20", "https://pixabay.com/gr%C3%B6%C3%9Fe%20%C3%A4%20"),
        ("https://pixabay.com/\x00\n<b>\ud800", "https://pixabay.com/%00%0A%3Cb%3E?"),
        ("/illustrations/1/", "/illustrations/1/"),
        ("/\\evil.com/", "/%5Cevil.com/"),
        ("/\t/evil.com/", "/%09/evil.com/"),
    ],
)
def test_a_page_link_holds_nothing_but_the_characters_of_a_url(url: str, link: str) -> None:
    stored = read_one(pageURL=url).page_url
    assert stored == link
    assert urljoin("https://imagesearch.example/", stored).startswith("http")


@pytest.mark.parametrize(
    ("user", "shown"),
    [
        ("x" * MAX_USER_CHARACTERS, "x" * MAX_USER_CHARACTERS),
        ("x" * 1_000_000, "x" * (MAX_USER_CHARACTERS - 1) + "…"),
        ("马" * 1_000_000, "马" * (MAX_USER_CHARACTERS - 1) + "…"),
        ("Ro\x1b]52;c;eA==\x07sa", "Ro ]52;c;eA== sa"),
        ("Ro\u202esa\u200b\ufeff", "Rosa"),
        ("👩\u200d🎨 می\u200cخواهم", "👩\u200d🎨 می\u200cخواهم"),
        ("a\tb\r\nc\u2028d", "a b c d"),
        ("\ud800", "?"),
        ("\x00", "unknown"),
        (7, "unknown"),
        (["Rosa"], "unknown"),
        ("\u3164", "unknown"),
        ("\u115f\u2800\u00ad", "unknown"),
        ("\u0301\u0302", "unknown"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_photographers_name_is_printable_and_short_and_costs_no_image(
    user: object, shown: str
) -> None:
    assert read_one(user=user).credit.user == shown


@pytest.mark.parametrize(
    "tags",
    [
        "x" * 1_000_000,
        "x, " * 400_000,
        ", ".join(f"tag {number}" for number in range(100_000)),
        ", ".join(["马" * 60] * 5 + ["花" * 60]),
        "a\x1b[2J, b\u202e, \ud800",
        "," * 1_000_000,
        "\u3164, \u0301",
    ],
    ids=lambda value: repr(value)[:20],
)
def test_tags_are_bounded_in_number_and_length_and_cost_no_image(tags: str) -> None:
    kept = read_one(tags=tags).tags
    assert len(kept) <= 30
    assert sum(len(tag.encode()) for tag in kept) <= MAX_TAGS_BYTES
    assert all(tag.isprintable() and 0 < len(tag) <= 60 and is_visible(tag) for tag in kept)


@pytest.mark.parametrize(
    ("url", "year", "month"),
    [
        ("https://cdn.pixabay.com/photo/2013/10/15/09/12/flower-195893_150.jpg", 2013, 10),
        ("https://cdn.pixabay.com/photo/2013/13/15/09/12/flower-195893_150.jpg", 0, 0),
        ("https://cdn.pixabay.com/photo/1013/10/15/09/12/flower-195893_150.jpg", 0, 0),
        ("https://cdn.pixabay.com/photo/٢٠١٣/10/15/09/12/flower-195893_150.jpg", 0, 0),
        ("https://cdn.pixabay.com/photo/flower-195893_150.jpg", 0, 0),
        ("x" * 500 + "/photo/2013/10/15/09/12/flower-195893_150.jpg", 0, 0),
        (None, 0, 0),
        (["/photo/2013/10/15/09/12/"], 0, 0),
    ],
)
def test_when_an_image_came_is_read_from_its_preview(url: object, year: int, month: int) -> None:
    image = read_one(previewURL=url)
    assert (image.year, image.month) == (year, month)


def test_a_tag_that_is_too_long_costs_no_other() -> None:
    assert read_one(tags=f"horse, {'x' * 61}, meadow").tags == ("horse", "meadow")


@pytest.mark.parametrize(
    "odd",
    [
        b'"\xff\xfe"',
        b'"cut \xe9\xa9"',
        b'"a\x00b\x1b\n"',
        b"9" * 5000,
        b"-" + b"9" * 5000,
        b"1e99999",
        b"NaN",
        b"-Infinity",
        rb'"\ud800"',
        b"[" * 90 + b"]" * 90,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a\\"]": ["}", ' * 50_000 + b"1" + b"]}" * 50_000,
    ],
    ids=lambda value: repr(value)[:20],
)
@pytest.mark.parametrize("field", ["user", "tags", "id", "webformatWidth", "views"])
def test_what_is_odd_within_one_value_costs_no_other_hit(field: str, odd: bytes) -> None:
    """Python's own parser refuses the whole text for one number of 5,000 digits."""
    strange = json.dumps(hit(2, **{field: "ODD"})).encode().replace(b'"ODD"', odd)
    body = b'\xef\xbb\xbf{"totalHits": 2, "hits": [' + json.dumps(hit(1)).encode()
    page = parse_page(body + b", " + strange + b"]}")
    assert page is not None
    first, _ = READER.read(page.hits, first=1)
    assert isinstance(first[1], ListedImage)


def encodings(key: str) -> list[str]:
    once = quote(key, safe="")
    every = "".join(f"%{byte:02X}" for byte in key.encode())
    return [key, key.upper(), once, once.lower(), quote(once), every, quote(quote(every)), key[:15]]


@pytest.mark.parametrize("echo", encodings(KEY))
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "{}"),
        ("id", "GET /api/?key={}&q=horse HTTP/1.1"),
        ("webformatWidth", "{}"),
        ("webformatURL", "{}"),
        ("webformatURL", "https://{}.pixabay.com/a.jpg"),
        ("webformatURL", "https://{}.evil.com/a.jpg"),
        ("webformatURL", "https://pixabay.com/get/a.jpg?key={}"),
        ("pageURL", "https://pixabay.com/?key={}"),
        ("user", "{}"),
        ("user", "x" * 90 + "{}"),
        ("tags", "horse, {}"),
    ],
)
def test_what_repeats_the_key_shows_it_nowhere(field: str, value: str, echo: str) -> None:
    images, reasons = read(hit(1, **{field: value.format(echo)}))
    shown = repr((images, reasons)).casefold()
    assert "31415926" not in shown
    assert quote(KEY[:12], safe="").casefold() not in shown
    assert "%33%31%34" not in shown.replace("%25", "%")


def hidings(key: str) -> list[str]:
    entities = "".join(f"&#{ord(one)};" for one in key)
    invisible = ("\u200b", "\u00ad", "\u034f", "\ufe0f", "\u2800", "\u3164", "\x00", " ", "&shy;")
    return [
        *(one.join(key) for one in invisible),
        f"&#{ord(key[0])};{key[1:]}",
        f"&amp;#x{ord(key[0]):x};{key[1:]}",
        entities,
        entities.replace("&", "&amp;amp;"),
        quote(entities),
        "".join(chr(ord(one) + 0xFEE0) for one in key),  # full width
    ]


@pytest.mark.parametrize("echo", hidings(KEY))
@pytest.mark.parametrize("field", ["user", "tags", "id", "pageURL"])
def test_a_key_that_is_hidden_in_what_nobody_sees_is_shown_nowhere(field: str, echo: str) -> None:
    value = f"https://pixabay.com/{echo}" if field == "pageURL" else echo
    images, reasons = read(hit(1, **{field: value}))
    shown = str([(one.credit.user, one.tags, one.page_url) for one in images]) + str(reasons)
    for _ in range(4):
        shown = unquote(html.unescape(shown))
    letters = "".join(re.findall("[0-9a-z-]", unicodedata.normalize("NFKC", shown)))
    assert KEY[:12].lower() not in letters.lower()


def test_a_key_that_is_a_word_of_the_pictures_hides_no_word() -> None:
    reader = HitReader("demo", "the demo gallery", ApiKey("demo"), CHECK)
    [(_, found)] = reader.read([hit(1, user="imagesearch demo", pageURL="/demo/1/")], first=1)
    assert isinstance(found, ListedImage)
    assert (found.image.credit.user, found.image.page_url) == ("imagesearch demo", "/demo/1/")


def test_a_pool_of_images_at_all_bounds_fits_a_document_of_firestore() -> None:
    """Random letters, which no compression makes smaller."""
    chance = random.Random(1)

    def letters(alphabet: range, number: int) -> str:
        return "".join(map(chr, chance.choices(alphabet, k=number)))

    hits = [
        hit(
            MAX_ID - number,
            webformatURL=URL + quote(letters(range(97, 123), 370), safe=""),
            pageURL="https://pixabay.com/" + letters(range(97, 123), 380),
            webformatWidth=MAX_SIDE_PIXELS,
            webformatHeight=MAX_SIDE_PIXELS,
            user=letters(range(0x4E00, 0x9FFF), 100),
            tags=",".join(letters(range(0x4E00, 0x9FFF), 16) for _ in range(30)),
        )
        for number in range(500)
    ]
    found = [one for _, one in READER.read(hits, first=1)]
    images = tuple(one for one in found if isinstance(one, ListedImage))
    assert len(images) == 500
    assert len(images[0].image.credit.user) == MAX_USER_CHARACTERS
    assert len(packed(Listing(images))) <= MAX_LISTING_BYTES


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("the host answered\r\n\x1b[2J 403", r"the host answered\r\n\x1b[2J 403"),
        ("\ud800", r"\ud800"),
        ("x" * 1_000_000, "x" * (MAX_REASON_CHARACTERS - 1) + "…"),
        ("\x00" * 1_000_000, r"\x00" * ((MAX_REASON_CHARACTERS - 1) // 4) + r"\x0" + "…"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_reason_is_one_printable_line_whoever_gives_it(text: str, shown: str) -> None:
    assert str(RejectedImage(text)) == shown
