"""The page's files as the query function serves them, and their headers."""

from __future__ import annotations

import gzip
import html
import json
import re
from itertools import chain
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from imagesearch.doors.page import MEDIA_TYPES, PageFiles, addressed, page_headers
from imagesearch.installation import ROOT
from imagesearch.settings import load_settings
from tests.unit.test_functions import serve
from tests.world import World

WEB = ROOT / "web"
NAMES = sorted(path.relative_to(WEB).as_posix() for path in WEB.rglob("*") if path.is_file())
WRITTEN = ("config.json", "index.html")  # from what the server knows


@pytest.fixture
def query(world: World) -> FlaskClient:
    return serve("query", world, load_settings())


def policy_of(header: str) -> dict[str, list[str]]:
    directives = (part.split() for part in header.split(";"))
    return {name: values for name, *values in directives}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in WRITTEN])
def test_every_file_of_the_page_is_served_as_it_is(query: FlaskClient, name: str) -> None:
    """One that is not has a suffix without a media type, or an odd name."""
    answer = query.get(f"/{name}")
    assert answer.status_code == 200
    assert answer.data == (WEB / name).read_bytes()
    assert answer.mimetype == MEDIA_TYPES[Path(name).suffix]


def test_the_page_itself_is_at_the_root(query: FlaskClient) -> None:
    page = query.get("/")
    assert page.mimetype == "text/html"
    assert page.data == query.get("/index.html").data
    head = query.head("/")
    assert (head.status_code, head.data) == (200, b"")
    assert int(head.headers["Content-Length"]) == len(page.data)


def shared(page: bytes) -> dict[str, str]:
    pairs = re.findall(r'<meta property="og:(url|image)" content="([^"]*)">', page.decode())
    assert len(pairs) == len(dict(pairs))
    return {name: html.unescape(content) for name, content in pairs}


def test_those_who_share_the_page_are_given_whole_addresses(query: FlaskClient) -> None:
    site = "https://pictures.example:8443"
    page = query.get("/?s_query=a+star&t=star", base_url=site)
    address = f"{site}/?s_query=a+star&t=star"
    assert shared(page.data) == {"url": address, "image": f"{site}/share.png"}
    zipped = query.get("/", base_url=site, headers={"Accept-Encoding": "gzip"})
    there = {"url": f"{site}/", "image": f"{site}/share.png"}
    assert shared(gzip.decompress(zipped.data)) == there
    again = query.get("/", base_url=site, headers={"If-None-Match": zipped.headers["ETag"]})
    assert again.status_code == 304
    other = query.get("/", headers={"If-None-Match": zipped.headers["ETag"]})
    assert other.status_code == 200


@pytest.mark.parametrize("host", ['x"><script>', "", "a b", "x'y", "user@host", "x/y"])
def test_a_host_that_is_none_is_not_written_into_the_page(query: FlaskClient, host: str) -> None:
    page = query.get("/", headers={"Host": host})
    assert page.data == (WEB / "index.html").read_bytes()


def test_an_address_is_written_into_the_page_as_text() -> None:
    file = PageFiles(WEB, {}).file("/")
    assert file is not None
    page = addressed(file, "https://pictures.example/", '"><script>&amp;', asks_key=False)
    assert b"<script>&" not in page.body
    assert shared(page.body)["url"] == 'https://pictures.example/?"><script>&amp;'


def begun(page: bytes) -> list[str]:
    """Return what a browser fetches as soon as it reads that."""
    tag = r'<link rel="preload" href="(search[^"]*)" as="fetch" crossorigin>'
    return [html.unescape(href) for href in re.findall(tag, page.decode())]


@pytest.mark.parametrize(
    ("address", "question"),
    [
        ("s_query=a+star", "s_query=a+star&k=24&wait=0.5"),
        ("s_query=a%20star&t=star", "t=star&s_query=a+star&k=24&wait=0.5"),
        ("s_query=%22%3E%3Cb~*&t=%C3%A4", "t=%C3%A4&s_query=%22%3E%3Cb%7E*&k=24&wait=0.5"),
    ],
)
def test_the_search_of_an_address_begins_with_the_page(
    query: FlaskClient, address: str, question: str
) -> None:
    assert begun(query.get(f"/?{address}").data) == [f"search?{question}"]


@pytest.mark.parametrize(
    "address",
    [
        *(
            "",
            "t=star",
            "s_query=",
            "s_query=%20a",
            "s_query=%EF%BB%BFa",
            "s_query=a&t=",
            "s_query=a&s_query=b",
        ),
        *("s_query=a&k=9", "s_query=a&minus=b", "s_query=a&year=2024", "s_query=a&utm_source=b"),
        *("like=demo-1", "s_query=a&like=demo-1", "s_query=a&scope=catalog", "picture=p"),
    ],
)
def test_what_the_page_makes_of_an_address_in_its_own_way_does_not_begin_before_it(
    query: FlaskClient, address: str
) -> None:
    assert begun(query.get(f"/?{address}").data) == []


def test_a_search_that_needs_a_key_does_not_begin_before_there_is_one(world: World) -> None:
    query = serve("query", world, load_settings(search_api_key="a-key-of-sixteen"))
    assert begun(query.get("/?s_query=a+star").data) == []


def test_who_takes_gzip_gets_less_of_the_same(query: FlaskClient) -> None:
    zipped = query.get("/app.js", headers={"Accept-Encoding": "br, gzip;q=0.5"})
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(zipped.data) == (WEB / "app.js").read_bytes()
    assert len(zipped.data) < len(query.get("/app.js").data) / 2
    assert "Accept-Encoding" in zipped.headers["Vary"]


@pytest.mark.parametrize("accepted", ["", "br", "gzip;q=0", "identity"])
def test_who_does_not_take_gzip_gets_none(query: FlaskClient, accepted: str) -> None:
    plain = query.get("/app.js", headers={"Accept-Encoding": accepted})
    assert "Content-Encoding" not in plain.headers
    assert plain.data == (WEB / "app.js").read_bytes()


def test_answers_of_the_api_are_gzipped_too_from_a_size_on(world: World) -> None:
    world.ready_pool(count=9)
    query = serve("query", world, load_settings())
    asked = {"t": "horse", "s_query": "twin-3", "k": "9", "wait": "0"}
    plain = query.get("/search", query_string=asked)
    zipped = query.get("/search", query_string=asked, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert len(zipped.data) < len(plain.data) / 3
    whole = json.loads(gzip.decompress(zipped.data))
    assert whole["results"] == plain.get_json()["results"]
    assert all("Accept-Encoding" in answer.headers["Vary"] for answer in (plain, zipped))
    small = query.get("/alive", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in small.headers


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_what_is_kept_is_asked_about_and_not_sent_again(query: FlaskClient, encoding: str) -> None:
    headers = {"Accept-Encoding": encoding}
    first = query.get("/app.js", headers=headers)
    assert "no-cache" in first.headers["Cache-Control"]
    for tag in (first.headers["ETag"], f'"x", {first.headers["ETag"]}'):
        again = query.get("/app.js", headers={**headers, "If-None-Match": tag})
        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["ETag"] == first.headers["ETag"]
        assert again.headers["Cache-Control"] == first.headers["Cache-Control"]
    other = query.get("/app.js", headers={**headers, "If-None-Match": 'W/"other"'})
    assert other.status_code == 200


@pytest.mark.parametrize(
    ("name", "is_kept"),
    [("app-0a1b2c3d.js", True), ("app.0a1b2c3d4e.js", True), ("app.js", False), ("face.js", False)],
)
def test_only_a_name_with_its_hash_is_kept_without_asking(
    tmp_path: Path, name: str, is_kept: bool
) -> None:
    (tmp_path / name).write_text("1")
    file = PageFiles(tmp_path, {}).file(f"/{name}")
    assert file is not None
    assert ("immutable" in file.cache_control) is is_kept


def test_a_file_that_is_added_or_changed_is_served_at_once(tmp_path: Path) -> None:
    files = PageFiles(tmp_path, {})
    assert files.file("/parts/new.js") is None
    (tmp_path / "parts").mkdir()
    for content in (b"one", b"three"):
        (tmp_path / "parts" / "new.js").write_bytes(content)
        file = files.file("/parts/new.js")
        assert file is not None
        assert file.body == content


@pytest.mark.parametrize(
    "path",
    [
        *("/../pyproject.toml", "/..%2fsetup.py", "//etc/passwd.txt", "/./index.html"),
        *("/.hidden.json", "/a/.hidden.json", "/notes", "/notes.py", "/a", "/a/", "/index.html/"),
        *("/a/../index.html", "/index.html\x00.js", "/a.json", "/index..html"),
    ],
)
def test_nothing_else_is_served(tmp_path: Path, path: str) -> None:
    (tmp_path / "web" / "a.json").mkdir(parents=True)
    for name in ("index.html", ".hidden.json", "notes", "notes.py", "../pyproject.toml"):
        (tmp_path / "web" / name).write_text("secret")
    assert PageFiles(tmp_path / "web", {}).file(path) is None


def test_a_path_without_a_file_is_told_in_json(query: FlaskClient) -> None:
    answer = query.get("/nothing.html")
    assert answer.status_code == 404
    assert answer.json is not None
    assert answer.json["error"]["code"] == "not_found"


def test_nothing_that_the_page_was_not_served_with_runs_in_it(query: FlaskClient) -> None:
    policy = policy_of(query.get("/").headers["Content-Security-Policy"])
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == ["'self'"]
    assert policy["base-uri"] == policy["frame-ancestors"] == ["'none'"]
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*"} & {*chain(*policy.values())}


@pytest.mark.parametrize(
    ("images_url", "origin"),
    [
        ("https://storage.googleapis.com/images", "https://storage.googleapis.com"),
        ("http://127.0.0.1:8081/images", "http://127.0.0.1:8081"),
    ],
)
def test_the_images_of_another_origin_may_be_shown_and_fetched(
    images_url: str, origin: str
) -> None:
    policy = policy_of(page_headers(images_url)["Content-Security-Policy"])
    assert origin in policy["img-src"]
    assert policy["connect-src"] == ["'self'", origin]


@pytest.mark.parametrize("path", ["/", "/nothing", "/search", "/alive", "/pools/x"])
def test_every_answer_is_what_it_says_it_is(query: FlaskClient, path: str) -> None:
    assert query.get(path).headers["X-Content-Type-Options"] == "nosniff"


def test_the_page_costs_its_reader_none_of_the_requests_that_are_counted(world: World) -> None:
    query = serve("query", world, load_settings(rate_limit_per_minute=1))
    assert [query.get("/app.js").status_code for _ in range(5)] == [200] * 5


@pytest.mark.parametrize("path", ["/", "/app.js", "/config.json"])
def test_the_page_is_read_only(query: FlaskClient, path: str) -> None:
    assert query.post(path).status_code == 405
