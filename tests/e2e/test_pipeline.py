"""The whole pipeline on one machine, over real sockets."""

from __future__ import annotations

import http.client
import io
import json
import shutil
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from PIL import Image

from imagesearch.demo.scenes import FEATURED
from imagesearch.installation import ROOT
from imagesearch.sources.demo import KEYWORDS
from tests.e2e.conftest import Serving, serving
from tests.e2e.shown import shown

HORSES = {"t": "horse", "s_query": "two horses amidst flowers"}
TWO_HORSES_AMIDST_FLOWERS = FEATURED[0].groups


def test_the_issue_s_own_example_is_answered_with_horses_amidst_flowers(server: Serving) -> None:
    answer = server.complete(**HORSES, k=3)
    assert len(answer["results"]) == 3
    assert shown(answer["results"][0]).groups == TWO_HORSES_AMIDST_FLOWERS
    assert {"horse", "flower"} <= set(answer["results"][0]["tags"])
    assert answer["top_urls"] == [result["url"] for result in answer["results"]]
    scales = {
        round(logit / result["score"], 1)
        for logit, result in zip(answer["top_scores"], answer["results"], strict=True)
    }
    assert len(scales) == 1  # logits are of cosines, and hits are ranked by what corrects those
    assert answer["pool"]["state"] == "ready"
    assert answer["pool"]["images"] == answer["pool"]["embedded"] == 200


def test_every_url_of_an_answer_leads_somewhere(server: Serving) -> None:
    answer = server.complete(t="horse", s_query="a horse", k=5)
    for result in answer["results"]:
        response = requests.get(result["url"], headers={"Origin": "https://a.example"}, timeout=10)
        with Image.open(io.BytesIO(response.content)) as image:
            assert image.size == (result["width"], result["height"])
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        page = requests.get(result["page_url"], timeout=10)
        assert page.status_code == 200
        assert result["credit"]["user"] in page.text


def test_a_first_search_is_answered_while_the_pool_is_still_being_fetched(
    server: Serving,
) -> None:
    """Partial answers say so, and only grow."""
    seen: list[int] = []
    for _ in range(400):
        response = server.search(t="zebra", s_query="a zebra", k=200, wait=0, fold="false")
        assert response.status_code in (200, 202)
        body: dict[str, Any] = response.json()
        if response.status_code == 202:
            assert body["status"] == "fetching"
            assert response.headers["Location"] == f"/pools/{body['pool']['pool_id']}"
            continue
        seen.append(len(body["results"]))
        if body["complete"]:
            break
        time.sleep(0.02)
    assert seen == sorted(seen)
    assert seen[-1] == 200
    assert len(set(seen)) > 1, "no partial answer was seen"


def test_a_keyword_without_images_is_answered_with_none(server: Serving) -> None:
    answer = server.complete(t="dragon", s_query="a dragon")
    assert answer["results"] == []
    assert answer["pool"]["images"] == 0


def test_characters_of_urls_in_a_keyword_reach_the_source_unchanged(server: Serving) -> None:
    """Were anything cut off, or another parameter, horses or cows would be found."""
    for keyword in ("horse&q=cow", "horse#dragon", "horse+dragon"):
        answer = server.complete(t=keyword, s_query="x")
        assert answer["keyword"] == keyword
        assert answer["results"] == []
    assert server.complete(t="50% horse", s_query="x")["keyword"] == "50% horse"
    chinese = server.complete(t="马 花", s_query="x")  # a horse, a flower
    assert chinese["keyword"] == "马 花"
    assert {shown(result).groups for result in chinese["results"]} == {TWO_HORSES_AMIDST_FLOWERS}


def test_searching_everything_stored_needs_no_keyword(server: Serving) -> None:
    server.complete(**HORSES)
    answer = server.complete(s_query=HORSES["s_query"], scope="catalog", k=3)
    assert answer["pool"] is None
    assert shown(answer["results"][0]).groups == TWO_HORSES_AMIDST_FLOWERS


@pytest.mark.parametrize("scope", ["pool", "catalog"])
def test_a_filter_leaves_what_it_says_in_either_scope(server: Serving, scope: str) -> None:
    """The demo's pictures are all horizontal."""
    asked = {**HORSES, "scope": scope, "k": 7}
    everything = server.complete(**asked)
    wide = server.complete(**asked, orientation="horizontal")
    assert wide["results"] == everything["results"]
    assert wide["filters"] == {"orientation": "horizontal"}
    tall = server.complete(**asked, orientation="vertical")
    assert (tall["results"], tall["complete"], tall["exhaustive"]) == ([], True, True)


def test_what_a_caller_on_this_machine_says_of_a_proxy_is_not_believed(server: Serving) -> None:
    server.complete(**HORSES, k=1)
    params = {**HORSES, "k": "1"}
    headers = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
    answer = requests.get(f"{server.url}/search", params=params, headers=headers, timeout=40)
    assert answer.json()["results"][0]["url"].startswith(f"{server.url}/images/")


def test_nonsense_in_a_request_is_answered_in_json(server: Serving) -> None:
    for path in ("/search", "/search?k=%F0%28", "/pools/../../etc/passwd", "/nothing", "/images/x"):
        response = requests.get(server.url + path, timeout=10)
        assert response.status_code in (400, 404)
        assert set(response.json()) == {"error"}
    for method, status in (("POST", 400), ("PUT", 405)):
        response = requests.request(method, f"{server.url}/search", data=b"\xff\x00", timeout=10)
        assert (response.status_code, set(response.json())) == (status, {"error"})


@pytest.mark.parametrize(
    "path",
    ["/images/../catalog.sqlite", "/images/%2e%2e/catalog.sqlite", "/..%2fpyproject.toml", "/../x"],
)
def test_files_outside_the_images_and_the_page_are_not_served(server: Serving, path: str) -> None:
    """Sent as it is: clients would take the dots out first."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.status == 404
    assert set(json.loads(answer.read())) == {"error"}
    connection.close()


@pytest.mark.parametrize("host", ["a:b:c", "", "\xff"])
def test_a_host_header_that_is_none_is_answered_in_json(server: Serving, host: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    connection.putrequest("GET", "/search?t=circle&s_query=x&wait=0", skip_host=True)
    connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 421
    assert set(json.loads(answer.read())) == {"error"}
    connection.close()


def test_every_page_forbids_what_it_was_not_served_with(server: Serving) -> None:
    best = server.complete(**HORSES, k=1)["results"][0]
    for url in (f"{server.url}/", f"{server.url}/app.js", best["url"], best["page_url"]):
        headers = requests.get(url, timeout=10).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["X-Content-Type-Options"] == "nosniff"
    for path in ("/search", "/images/x", "/nothing"):
        headers = requests.get(server.url + path, timeout=10).headers
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_page_is_told_that_it_runs_on_the_demo(server: Serving) -> None:
    config = requests.get(f"{server.url}/config.json", timeout=10).json()
    source = {"name": "the demo gallery", "site": "", "note": ""}
    keywords = list(KEYWORDS)
    shown = {"api": "", "demo": True, "demo_keywords": keywords, "sources": [source]}
    has_docs = (ROOT / "web" / "docs").is_dir()  # which `make docs` builds
    assert config == {**shown, "collections": True, "docs": has_docs}


# The small server, which these tests fill, end and start again


def fetches(server: Serving, answer: dict[str, Any]) -> int:
    """Return how many fetches of the answer's pool its log tells of."""
    return server.log().count(f"FetchJob pool_id={answer['pool']['pool_id']}")


def test_fifty_simultaneous_first_searches_cause_one_fetch(small: Serving) -> None:
    codes: list[int] = []
    barrier = threading.Barrier(50)

    def search() -> None:
        barrier.wait()
        codes.append(small.search(t="heart", s_query="a heart", wait=25).status_code)

    threads = [threading.Thread(target=search) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [200] * 50
    assert fetches(small, small.complete(t="heart", s_query="a heart")) == 1


def test_health_is_told_while_more_searches_wait_than_may(small: Serving) -> None:
    threads = [
        threading.Thread(target=small.search, kwargs={"t": f"x {n}", "s_query": "x", "wait": 10})
        for n in range(110)
    ]
    for thread in threads:
        thread.start()
    assert requests.get(f"{small.url}/alive", timeout=10).status_code == 200
    assert requests.get(f"{small.url}/ready", timeout=10).status_code == 200
    for thread in threads:
        thread.join()


def test_ctrl_c_ends_it_and_its_data_is_there_at_the_next_start(small: Serving) -> None:
    first = small.complete(t="moon", s_query="a moon", k=5)
    assert small.stop() == 0
    small.start()
    again = small.search(t="moon", s_query="a moon", k=5, wait=0).json()
    assert [one["score"] for one in again["results"]] == [one["score"] for one in first["results"]]
    assert again["pool"]["generation"] == 1
    assert fetches(small, again) == 1


def test_a_data_folder_that_is_removed_comes_back_and_a_lost_original_with_it(
    small: Serving,
) -> None:
    url = small.complete(**HORSES)["top_urls"][0]
    shutil.rmtree(small.data_dir)
    lost = requests.get(url, timeout=10)
    assert (lost.status_code, lost.json()["error"]["code"]) == (404, "not_found")
    assert requests.get(f"{small.url}/ready", timeout=10).status_code == 200
    url = small.complete(**HORSES)["top_urls"][0]
    original = requests.get(url, timeout=10)
    assert original.status_code == 200
    (small.data_dir / "images" / url.rpartition("/")[2]).write_bytes(b"")
    again = requests.get(url, timeout=10)
    assert (again.status_code, again.content) == (200, original.content)
    assert again.headers["Content-Type"] == "image/jpeg"
    fresh = {"If-None-Match": again.headers["ETag"]}
    assert requests.get(url, headers=fresh, timeout=10).status_code == 304
    outside = requests.get(f"{small.url}/images/..%2fcatalog.sqlite", timeout=10)
    assert outside.status_code == 404


KILLED_POOL = 100  # several batches


def test_a_kill_in_the_middle_of_a_fetch_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    """Killed when 1 image and when 40 of another pool are stored, and started again."""
    folder = tmp_path / "data" / "images"
    ids: set[str] = set()
    with serving(tmp_path / "data", POOL_SIZE=str(KILLED_POOL)) as server:
        for keyword, kill_at in (("tiger", 1), ("rocket", 40)):
            before = stored(folder)
            server.search(t=keyword, s_query="x", wait=0)
            for _ in range(10_000):
                if stored(folder) - before >= kill_at:
                    break
                time.sleep(0.005)
            server.kill()
            assert stored(folder) - before < KILLED_POOL, "killed too late to prove anything"
            server.start()
            wait_for_ready(tmp_path / "data" / "catalog.sqlite")
            answer = server.complete(t=keyword, s_query=f"a {keyword}", k=200, fold="false")
            found = [result["image_id"] for result in answer["results"]]
            assert len(found) == len(set(found)) == KILLED_POOL
            assert answer["pool"]["generation"] == 1
            ids.update(found)
            assert stored(folder) == len(ids)


def stored(folder: Path) -> int:
    return len(list(folder.glob("*.jpg")))


def wait_for_ready(catalog: Path) -> None:
    """Wait until each pool is ready, with no search that would push it on."""
    give_up_at = time.monotonic() + 60
    while time.monotonic() < give_up_at:
        connection = sqlite3.connect(catalog)
        try:
            states = {row[0] for row in connection.execute("SELECT state FROM records")}
        finally:
            connection.close()
        if states == {"ready"}:
            return
        time.sleep(0.1)
    raise AssertionError(states)
