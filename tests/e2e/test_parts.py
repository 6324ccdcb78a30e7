"""Pictures, stored images and what is not wanted, over HTTP and from the command line."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from tests.e2e.cloud import complete
from tests.e2e.conftest import Serving
from tests.e2e.test_cli import imagesearch

SNOWY = {"t": "cow", "s_query": "a cow in the snow", "k": 10}
# Of the keyword whose pool the other tests of the shared stack have, too.
SNOWY_HORSE = {"t": "horse", "s_query": "a horse in the snow", "k": 10}


def first_picture(answer: dict[str, Any]) -> tuple[str, bytes]:
    """Return the id of the best hit, and its picture in another size and format."""
    best = answer["results"][0]
    stored = requests.get(best["url"], timeout=10).content
    changed = io.BytesIO()
    with Image.open(io.BytesIO(stored)) as image:
        image.resize((400, 267)).save(changed, "WEBP")
    return best["image_id"], changed.getvalue()


def ids(answer: dict[str, Any]) -> list[str]:
    return [result["image_id"] for result in answer["results"]]


def posted(url: str, picture: bytes, **params: Any) -> requests.Response:
    return requests.post(f"{url}/search", params=params, files={"picture": picture}, timeout=60)


@pytest.mark.parametrize("scope", ["pool", "catalog"])
def test_a_picture_finds_itself_and_a_stored_image_others(server: Serving, scope: str) -> None:
    image_id, picture = first_picture(server.complete(**SNOWY))
    answer = posted(server.url, picture, t="cow", scope=scope).json()
    assert (ids(answer)[0], answer["picture"], answer["matched"]) == (image_id, True, None)
    assert {"cow", "snow"} <= set(answer["results"][0]["tags"])
    like = server.complete(t="cow", scope=scope, like=image_id)
    assert image_id not in ids(like)
    assert sum("snow" in result["tags"] for result in like["results"][:5]) >= 3


@pytest.mark.parametrize(
    ("sentence", "is_there"),
    [
        ("a horse is standing in the snow", True),
        ("close up of a horse in the snow", True),
        ("a horse or a cow in the snow", True),
        ("a horse in the rain", False),
        ("a horse in the fog", False),
        ("horse and rider", False),
    ],
)
def test_a_match_shows_all_that_is_asked_for(
    server: Serving, sentence: str, is_there: bool
) -> None:
    assert server.complete(t="horse", s_query=sentence)["matched"] is is_there


def test_what_is_not_wanted_is_not_among_the_best(server: Serving) -> None:
    answer = server.complete(t="cow", s_query="a cow", minus=["snow"], k=10)
    assert not any("snow" in result["tags"] for result in answer["results"])
    assert answer["minus"] == ["snow"]


@pytest.mark.parametrize("scope", ["pool", "catalog"])
def test_what_looks_like_a_picture_that_is_not_wanted_goes_back(
    server: Serving, scope: str
) -> None:
    asked: dict[str, Any] = {"t": "cow", "s_query": "a cow in the snow", "scope": scope}
    before = server.complete(**asked, k=5)
    unwanted = before["results"][0]
    after = server.complete(**asked, k=5, unlike=unwanted["image_id"])
    assert after["unlike"] == [unwanted["image_id"]]
    assert unwanted["image_id"] not in ids(after)
    assert not any(set(unwanted["tags"]) == set(result["tags"]) for result in after["results"])
    assert all({"cow", "snow"} <= set(result["tags"]) for result in after["results"])
    _, picture = first_picture(before)
    files = {"unlike_picture": picture}
    answer = requests.post(
        f"{server.url}/search", params={**asked, "k": 5}, files=files, timeout=60
    )
    assert unwanted["image_id"] not in ids(answer.json())


def test_the_heavier_part_decides(server: Serving) -> None:
    _, picture = first_picture(server.complete(**SNOWY))
    for weights, place in (({"s_query_weight": 5}, "desert"), ({"picture_weight": 5}, "snow")):
        asked = {"t": "cow", "s_query": "a cow in the desert", "k": 1, **weights}
        assert place in posted(server.url, picture, **asked).json()["results"][0]["tags"]


def test_pages_show_the_whole_pool_once(server: Serving) -> None:
    server.complete(**SNOWY)
    seen, cursor = list[str](), None
    while True:
        page = server.complete(t="cow", s_query="a cow", k=70, cursor=cursor)
        for result in page["results"]:
            seen += [result["image_id"], *result["similar"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == page["pool"]["embedded"]


@pytest.mark.parametrize(
    ("picture", "status", "why"),
    [
        (b"<html>", 400, "an HTML page, no JPEG, PNG or WebP image"),
        (b"\xff\xd8\xff" + b"x" * 10_000_000, 413, "picture must have at most 10000000 bytes"),
        (b"x" * 11_000_000, 413, "the body must have at most 10065536 bytes"),
    ],
)
def test_a_picture_that_is_none_is_refused_with_the_reason(
    server: Serving, picture: bytes, status: int, why: str
) -> None:
    server.complete(**SNOWY)
    refused = posted(server.url, picture, t="cow")
    assert refused.status_code == status
    assert why in refused.json()["error"]["message"]
    assert server.search(**SNOWY).status_code == 200


def test_the_command_line_takes_a_file_goes_on_and_leaves_out(
    server: Serving, tmp_path: Path
) -> None:
    image_id, picture = first_picture(server.complete(**SNOWY))
    photo = tmp_path / "photo.webp"
    photo.write_bytes(picture)
    search = ("search", "cow", "--like", str(photo), "-k", "2", "--url", server.url)
    first = imagesearch(*search)
    assert first.returncode == 0, first.stderr
    assert image_id in first.stdout
    cursor = first.stdout.partition("--more ")[2].split()[0]
    second = json.loads(imagesearch(*search, "--more", cursor, "--json").stdout)
    assert len(second["results"]) == 2
    assert image_id not in ids(second)
    others = imagesearch("search", "cow", "--like", image_id, "--json", "--url", server.url)
    assert image_id not in ids(json.loads(others.stdout))
    wrong = imagesearch(*search[:-3], "3", "--url", server.url, "--more", cursor)
    assert "--more must be of the same search, with the same k" in wrong.stderr


def test_the_command_line_searches_all_that_is_stored(server: Serving, tmp_path: Path) -> None:
    image_id, picture = first_picture(server.complete(**SNOWY))
    photo = tmp_path / "photo.webp"
    photo.write_bytes(picture)
    to = ("-k", "3", "--url", server.url)
    by_file = imagesearch("search", "--like", str(photo), *to)
    assert by_file.returncode == 0, by_file.stderr
    assert image_id in by_file.stdout
    assert "All that is stored was searched in" in by_file.stdout
    by_id = json.loads(imagesearch("search", "--like", image_id, "--json", *to).stdout)
    assert (by_id["scope"], by_id["like"], by_id["pool"]) == ("catalog", [image_id], None)
    words = ("search", "a cow in the snow", "--everywhere", *to)
    by_words = imagesearch(*words)
    assert image_id in by_words.stdout, by_words.stderr
    assert "Keywords" not in by_words.stderr
    likened = json.loads(imagesearch(*words, "--like", image_id, "--json").stdout)
    assert (likened["query"], likened["keyword"]) == ("a cow in the snow", None)
    none = imagesearch(*words, "--user", "nobody")
    assert "Nothing that is stored has user nobody." in none.stdout, none.stderr
    two = imagesearch("search", "cow", "a cow in the snow", "--everywhere")
    assert "--everywhere must come without KEYWORD, got 'cow'" in two.stderr
    neither = imagesearch("search", "--minus", "snow")
    assert "QUERY or --like must be given, got neither" in neither.stderr


def test_the_command_line_says_in_its_own_words_what_it_cannot_search_by(
    server: Serving, tmp_path: Path
) -> None:
    server.complete(**SNOWY)
    no_picture = tmp_path / "text.jpg"
    no_picture.write_text("no picture")

    def why(*arguments: str) -> str:
        run = imagesearch("search", "cow", *arguments, "--url", server.url)
        assert run.returncode == 1
        return " ".join(run.stderr.split())

    missing = "there is no such file, nor such a stored image"
    assert f"--like typo.jpg: {missing}" in why("--like", "typo.jpg")
    assert f"--unlike typo.jpg: {missing}" in why("--unlike", "typo.jpg")
    assert f"--unlike {no_picture} cannot be searched by: " in why(
        "a cow", "--unlike", str(no_picture)
    )
    folder = f"got the folder {tmp_path}"
    assert f"--like must be a file or the id of a stored image, {folder}" in why(
        *("--like", str(tmp_path))
    )
    assert "--like must be a file or the id of a stored image, got none" in why("--like", " ")
    assert "--query-weight must be between 0.01 and 100, got 0" in why("--query-weight", "0")
    without = "--query-weight must come with QUERY, got 2 without"
    assert without in why("--like", "x", "--query-weight", "2")
    for name, texts in (("QUERY", ("",)), ("KEYWORD", ("", "a cow"))):
        blank = imagesearch("search", *texts)
        assert f"{name} must have at least 1 character, got 0" in blank.stderr


def test_the_command_line_weighs_and_leaves_out_what_looks_like_a_file(
    server: Serving, tmp_path: Path
) -> None:
    image_id, picture = first_picture(server.complete(**SNOWY))
    photo = tmp_path / "photo.webp"
    photo.write_bytes(picture)

    def search(*options: str) -> dict[str, Any]:
        asked = ("search", "cow", "a cow in the desert", "--json", "-k", "3", "--url", server.url)
        run = imagesearch(*asked, *options)
        assert run.returncode == 0, run.stderr
        answer: dict[str, Any] = json.loads(run.stdout)
        return answer

    heavy = search("--like", str(photo), "--like-weight", "9")
    assert ids(heavy)[0] == image_id
    both = ("--like", str(photo), "--like-weight", "0.2", "--like", image_id)
    light = search(*both, "--like-weight", "0.2", "--query-weight", "3")
    assert "desert" in light["results"][0]["tags"]
    assert (light["like"], light["picture"]) == ([image_id], True)
    sandy = search()
    without = search("--unlike", str(photo), "--unlike", ids(sandy)[0])
    assert (without["unlike"], without["unlike_picture"]) == ([ids(sandy)[0]], True)
    assert ids(sandy)[0] not in ids(without)
    wrong = imagesearch("search", "cow", *both, "--url", server.url)
    assert "--like-weight must be given once for each --like, 2 times" in wrong.stderr


def test_the_command_line_sends_a_picture_to_a_stack_of_its_own(tmp_path: Path) -> None:
    no_picture = tmp_path / "text.jpg"
    no_picture.write_text("no picture")
    run = imagesearch(
        *("search", "cow", "--like", str(no_picture), "--minus", "snow"),
        *("--data-dir", str(tmp_path / "data")),
    )
    assert run.returncode == 1
    assert f"--like {no_picture} cannot be searched by: 10 bytes that are" in run.stderr


def test_the_cloud_takes_parts_too(cloud_url: str) -> None:
    image_id, picture = first_picture(complete(cloud_url, **SNOWY_HORSE))
    answer = posted(cloud_url, picture, t="horse", k=3, minus=["desert", "sea"]).json()
    assert answer["minus"] == ["desert", "sea"]
    assert ids(posted(cloud_url, picture, t="horse", k=1).json()) == [image_id]
    like = complete(cloud_url, t="horse", like=image_id, k=5)
    assert image_id not in ids(like)
    second = complete(cloud_url, t="horse", like=image_id, k=5, cursor=like["next"])
    assert not set(ids(like)) & set(ids(second))
    asked: dict[str, Any] = {
        "t": "horse",
        "s_query": "a horse in the snow",
        "k": 5,
        "s_query_weight": 2,
    }
    files = {"picture": picture, "unlike_picture": picture}
    both = requests.post(f"{cloud_url}/search", params=asked, files=files, timeout=60).json()
    assert (both["picture"], both["unlike_picture"]) == (True, True)
    unlike = complete(cloud_url, t="horse", s_query="a horse in the snow", k=5, unlike=image_id)
    assert image_id not in ids(unlike)
    refused = posted(cloud_url, b"GIF89a", t="horse")
    assert refused.status_code == 400
    assert "a GIF image" in refused.json()["error"]["message"]
