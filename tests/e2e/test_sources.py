"""What bad images and a bad source do to a search, through the whole stack over real sockets."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imagesearch.adapters.buses.local_bus import LocalBus
from imagesearch.cli.client import StackServer, stack_client
from imagesearch.client.searching import Ask
from imagesearch.local.embedded.services import EmbeddedServices
from imagesearch.local.embedded.stack import Stack
from imagesearch.settings import Settings, load_settings
from imagesearch.sources import SOURCES
from imagesearch.sources.commons import COMMONS, Commons
from imagesearch.sources.declaration import Tools
from imagesearch.sources.openverse import OPENVERSE, Openverse
from inference_service.encoder import ModelEncoder
from tests.log_lines import Log
from tests.stub_http import Request, StubServer, reply
from tests.unit.test_commons import listing as commons_listing
from tests.unit.test_commons import page
from tests.unit.test_openverse import hit
from tests.unit.test_openverse import listing as openverse_listing

Answer = Callable[[Request], bytes]


@pytest.fixture(scope="module")
def encoder() -> Iterator[ModelEncoder]:
    encoder = ModelEncoder.load(load_settings().model)
    yield encoder
    encoder.close()


@contextmanager
def stack_over(origin: str, folder: Path, encoder: ModelEncoder, **changes: Any) -> Iterator[Stack]:
    """Yield a stack whose Pixabay is at *origin*, with attempts that follow at once."""
    settings: Settings = load_settings(data_dir=folder, gallery_url=origin)
    settings = settings.model_copy(update=changes)  # to less than an operator may set
    at_once = partial(LocalBus, min_backoff_seconds=0.01, max_backoff_seconds=0.05)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("imagesearch.local.embedded.services.LocalBus", at_once)
        services = EmbeddedServices(settings, encoder)
    stack = Stack(services, None)
    services.bus.start()
    try:
        yield stack
    finally:
        services.bus.stop()
        services.close()


def listing(server_url: str, names: list[str]) -> bytes:
    hits = [
        {
            "id": number,
            "pageURL": f"https://pixabay.com/photos/{number}/",
            "tags": name.replace("_", ", "),
            "webformatURL": f"{server_url}/get/{name}",
            "webformatWidth": 640,
            "webformatHeight": 427,
            "user": "someone",
        }
        for number, name in enumerate(names, start=1)
    ]
    return json.dumps({"total": len(hits), "totalHits": len(hits), "hits": hits}).encode()


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(mode: str = "RGB") -> Image.Image:
    gradient = Image.linear_gradient("L").resize((96, 64))
    rgb = Image.merge("RGB", (gradient, gradient.rotate(180), gradient))
    return rgb.convert(mode)


def odd_images() -> dict[str, tuple[bytes, bool]]:
    """Return the odd images by name, each with whether it can be used."""
    jpeg = encoded(picture(), "JPEG")
    frames = [picture(), picture().transpose(Image.Transpose.ROTATE_180)]
    rotated = Image.Exif()
    rotated[274] = 6
    grey16 = (
        Image.linear_gradient("L").convert("I").point(lambda value: value * 256).convert("I;16")
    )
    return {
        "fine.jpg": (jpeg, True),
        "truncated.jpg": (jpeg[: len(jpeg) // 3], False),
        "corrupt.jpg": (jpeg[:2] + b"\x00" * 500, False),
        "one_pixel.png": (encoded(Image.new("RGB", (1, 1)), "PNG"), False),
        "cmyk.jpg": (encoded(picture("CMYK"), "JPEG"), True),
        "animated.webp": (encoded(frames[0], "WEBP", save_all=True, append_images=frames), True),
        "palette.png": (encoded(picture("P"), "PNG"), True),
        "grey16.png": (encoded(grey16, "PNG"), True),
        "rotated.jpg": (encoded(picture(), "JPEG", exif=rotated), True),
        "huge.png": (encoded(Image.new("1", (10_000, 10_000)), "PNG"), False),
        "page.jpg": (b"<!DOCTYPE html><title>Not an image</title>", False),
        "empty.jpg": (b"", False),
        "gif.jpg": (encoded(picture("P"), "GIF"), False),
    }


def test_odd_images_are_embedded_or_rejected_and_cost_the_others_nothing(
    tmp_path: Path, encoder: ModelEncoder
) -> None:
    images = odd_images()

    def script(request: Request) -> bytes:
        name = request.target.rsplit("/", 1)[-1]
        if name in images:
            return reply(200, images[name][0], Content_Type="image/jpeg")
        return reply(200, listing(server.origin, list(images)), Content_Type="application/json")

    with StubServer(script) as server, stack_over(server.origin, tmp_path, encoder) as stack:
        params: dict[str, Any] = {"t": "odd", "s_query": "x", "k": 50, "fold": False}
        answer = stack_client(stack).page(**params).as_it_came()
    usable = {name for name, (_, is_usable) in images.items() if is_usable}
    assert {result["tags"][0] for result in answer["results"]} == {
        name.split("_")[0] for name in usable
    }
    assert answer["pool"]["state"] == "ready"
    assert answer["pool"]["images"] == len(images)
    assert answer["pool"]["rejected"] == len(images) - len(usable)


def test_a_pool_tells_why_an_image_was_rejected(tmp_path: Path, encoder: ModelEncoder) -> None:
    def script(request: Request) -> bytes:
        if request.target == "/get/gone.jpg":
            return reply(404)
        if request.target == "/get/fine.jpg":
            return reply(200, odd_images()["fine.jpg"][0])
        names = ["gone.jpg", "fine.jpg"]
        return reply(200, listing(server.origin, names), Content_Type="application/json")

    with StubServer(script) as server, stack_over(server.origin, tmp_path, encoder) as stack:
        of_stack = StackServer(stack)
        answer = stack_client(stack).page(t="gone", s_query="x").as_it_came()
        pool = of_stack.ask(Ask(f"/pools/{answer['pool']['pool_id']}")).body
    assert (pool["state"], pool["embedded"], pool["rejected"]) == ("ready", 1, 1)
    assert list(pool["rejections"]) == ["demo-1"]
    assert "404" in pool["rejections"]["demo-1"]


def odd_hits(origin: str) -> list[object]:
    """Return hits that each have one thing wrong with them, or one that is only shown."""
    fine = json.loads(listing(origin, ["fine.jpg"]))["hits"][0]
    shown = [
        {"pageURL": "https://[x/"},
        {"user": "x" * 1_000_000},
        {"tags": "x, " * 100_000},
        {"user": "\ud800\x00\x1b]52;c;eA==\x07"},
    ]
    wrong = [
        {"id": int("9" * 300)},
        {"id": "7"},
        {"webformatURL": "https://[x/"},
        {"webformatURL": "x" * 100_000},
        {"webformatWidth": 10**300},
        {"webformatHeight": -1},
    ]
    changes = enumerate([{}, *shown, *wrong], start=1)
    return [None, *(fine | {"id": number} | change for number, change in changes)]


def test_odd_hits_are_made_harmless_or_rejected_and_cost_the_others_nothing(
    tmp_path: Path, encoder: ModelEncoder
) -> None:
    def script(request: Request) -> bytes:
        if "/get/" in request.target:
            return reply(200, odd_images()["fine.jpg"][0])
        hits = odd_hits(server.origin)
        return reply(200, json.dumps({"totalHits": len(hits), "hits": hits}))

    with StubServer(script) as server, stack_over(server.origin, tmp_path, encoder) as stack:
        of_stack = StackServer(stack)
        asked: dict[str, Any] = {"s_query": "x", "k": 200, "fold": False}
        answer = stack_client(stack).page(t="odd", **asked).as_it_came()
        everything = of_stack.ask(
            Ask("/search", {"scope": "catalog", "s_query": "x", "k": "200", "fold": "false"})
        )
        pool = of_stack.ask(Ask(f"/pools/{answer['pool']['pool_id']}")).body
    assert (pool["state"], pool["embedded"], pool["rejected"]) == ("ready", 5, 7)
    assert all(len(reason) <= 200 for reason in pool["rejections"].values())
    assert everything.status == 200
    assert len(everything.body["results"]) == 5


def no_json(_: Request) -> bytes:
    return reply(200, "<html>We are down for maintenance</html>", Content_Type="text/html")


def server_error(_: Request) -> bytes:
    return reply(500, "oops")


def bad_key(_: Request) -> bytes:
    return reply(400, "[ERROR 400] Invalid or missing API key (https://pixabay.com/api/docs/).")


def hung_up(_: Request) -> bytes:
    return b""


@pytest.mark.parametrize("script", [no_json, server_error, bad_key, hung_up])
def test_a_source_that_fails_fails_the_pool_with_a_reason_and_a_later_search_tries_again(
    tmp_path: Path, encoder: ModelEncoder, script: Answer
) -> None:
    state = {"script": script}

    with (
        StubServer(lambda request: state["script"](request)) as server,
        stack_over(server.origin, tmp_path, encoder, retry_seconds=0.5) as stack,
    ):
        ask = StackServer(stack).ask
        params = {"t": "horse", "s_query": "x", "wait": "10"}
        failed = ask(Ask("/search", params))
        assert failed.status == 503
        assert failed.retry_after_seconds is not None
        assert "could not be fetched: " in failed.body["error"]["message"]
        assert "key=" not in failed.body["error"]["message"]
        # The source is well again, and the pool's rest is over.
        jpeg = odd_images()["fine.jpg"][0]
        state["script"] = lambda request: (
            reply(200, jpeg)
            if "/get/" in request.target
            else reply(200, listing(server.origin, ["fine.jpg"]))
        )
        time.sleep(0.6)
        answer = ask(Ask("/search", params))
        assert answer.status == 200
        assert len(answer.body["results"]) == 1
        assert answer.body["pool"]["generation"] == 2


def test_a_slow_source_gives_202_with_when_to_ask_again(
    tmp_path: Path, encoder: ModelEncoder
) -> None:
    release = threading.Event()

    def script(_: Request) -> bytes:
        release.wait(10)
        return reply(200, listing("", []))

    with StubServer(script) as server, stack_over(server.origin, tmp_path, encoder) as stack:
        ask = StackServer(stack).ask
        answer = ask(Ask("/search", {"t": "horse", "s_query": "x", "wait": "0.2"}))
        assert (answer.status, answer.body["status"]) == (202, "fetching")
        assert answer.retry_after_seconds == 1
        release.set()
        assert (
            ask(Ask("/search", {"t": "horse", "s_query": "x", "wait": "10"})).body["results"] == []
        )


def test_what_cannot_be_had_fails_its_pool_and_keeps_its_reason_past_the_process(
    tmp_path: Path, encoder: ModelEncoder, log: Log
) -> None:
    """Five deliveries, and no dead letter: those are for what nobody could give up."""
    params = {"t": "horse", "s_query": "x"}
    with StubServer(server_error) as server:
        with stack_over(server.origin, tmp_path, encoder) as stack:
            StackServer(stack).ask(Ask("/search", {**params, "wait": "10"}))
            assert stack.services.bus.dead_letters() == []
        assert [job["delivery_attempt"] for job in log.entries("FetchJob")] == [1, 2, 3, 4, 5]
        assert log.entries("FetchJob")[-1]["outcome"] == "given up"
        with stack_over(server.origin, tmp_path, encoder, retry_seconds=60) as stack:
            answer = StackServer(stack).ask(Ask("/search", {**params, "wait": "0"}))
    assert answer.status == 503
    assert "answered 500" in answer.body["error"]["message"]


def test_sixty_new_keywords_at_once_are_each_published_once_and_all_become_ready(
    tmp_path: Path, encoder: ModelEncoder, log: Log
) -> None:
    """Two jobs are done at a time, and their keywords are searched again and again meanwhile."""
    jpeg = encoded(picture(), "JPEG")

    def script(request: Request) -> bytes:
        if "/get/" in request.target:
            return reply(200, jpeg, Content_Type="image/jpeg")
        names = ["one.jpg", "two.jpg", "three.jpg"]
        return reply(200, listing(server.origin, names), Content_Type="application/json")

    settings = {"pool_size": 3, "lease_seconds": 0.05, "rate_limit_per_minute": 100_000}
    with (
        StubServer(script) as server,
        stack_over(server.origin, tmp_path, encoder, **settings) as stack,
    ):
        ask, left = StackServer(stack).ask, [f"keyword {n}" for n in range(60)]
        while left:
            asked = {key: {"t": key, "s_query": "x", "wait": "0.05"} for key in left}
            left = [key for key in left if not ask(Ask("/search", asked[key])).body.get("complete")]
        assert stack.services.bus.dead_letters() == []
    published = [one for one in log.entries("search") if "publish" in one["stages"]]
    assert len({one["pool_id"] for one in published}) == len(published) == 60


PICTURE = encoded(picture(), "JPEG")


@contextmanager
def open_stack(
    names: str, folder: Path, encoder: ModelEncoder, *, openverse_status: int = 200
) -> Iterator[Stack]:
    """Yield a stack over stubs of both open sources; 3 pictures of Commons, 5 of Openverse."""

    def script(request: Request) -> bytes:
        if "/thumb/" in request.target:
            return reply(200, PICTURE)
        if "/v1/images/" not in request.target:
            return commons_listing(request, [page(n, server.origin) for n in range(1, 4)])
        if openverse_status != 200:
            return reply(openverse_status)
        # The first of which is a file of Commons.
        landing = {1: {"foreign_landing_url": "https://commons.wikimedia.org/w/index.php?curid=1"}}
        hits = [hit(n, server.origin, **landing.get(n, {})) for n in range(1, 6)]
        return openverse_listing(request, hits)

    def commons(settings: Any, tools: Tools) -> Commons:
        url = f"{server.origin}/w/api.php"
        return Commons(settings.source_contact, tools, api_url=url, origin=server.origin)

    def openverse(settings: Any, tools: Tools) -> Openverse:
        url = f"{server.origin}/v1/images/"
        return Openverse(settings.source_contact, tools, api_url=url, origin=server.origin)

    changes = {"source": names, "source_contact": "ann@example.org"}
    with StubServer(script) as server, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(SOURCES, "commons", replace(COMMONS, connect=commons))
        monkeypatch.setitem(SOURCES, "openverse", replace(OPENVERSE, connect=openverse))
        with stack_over(server.origin, folder, encoder, **changes) as stack:
            yield stack


def searched(stack: Stack) -> dict[str, Any]:
    params: dict[str, Any] = {"t": "horse", "s_query": "a horse", "fold": False}
    return stack_client(stack).page(**params).as_it_came()


def test_pictures_of_commons_are_found_with_their_licence(
    tmp_path: Path, encoder: ModelEncoder
) -> None:
    with open_stack("commons", tmp_path, encoder) as stack:
        answer = searched(stack)
    assert len(answer["results"]) == 3
    for result in answer["results"]:
        assert result["image_id"].startswith("commons-")
        assert result["credit"] == {
            "user": "Ann & Bob",
            "source": "Wikimedia Commons",
            "licence": "CC BY-SA 4.0",
            "licence_url": "https://creativecommons.org/licenses/by-sa/4.0",
        }


def test_pictures_of_two_sources_are_found_together_each_once_with_its_own_credit(
    tmp_path: Path, encoder: ModelEncoder
) -> None:
    with open_stack("commons,openverse", tmp_path, encoder) as stack:
        answer = searched(stack)
    assert answer["pool"]["state"] == "ready"
    given = [result["credit"] for result in answer["results"]]
    assert len(given) == 3 + 5 - 1
    assert {(one["source"], one["licence"]) for one in given} == {
        ("Wikimedia Commons", "CC BY-SA 4.0"),
        ("Openverse", "CC BY-SA 2.0"),
    }


@pytest.mark.parametrize("status", [403, 500])
def test_a_source_that_refuses_or_is_down_costs_its_own_pictures_alone(
    tmp_path: Path, encoder: ModelEncoder, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with open_stack("commons,openverse", tmp_path, encoder, openverse_status=status) as stack:
        answer = searched(stack)
    assert answer["pool"]["state"] == "ready"
    assert {one["image_id"].partition("-")[0] for one in answer["results"]} == {"commons"}
    told = f"openverse finds no more for this keyword: Openverse answered {status}"
    assert any(message.startswith(told) for message in caplog.messages)


def test_a_lost_original_comes_back_from_the_source_that_has_it(
    tmp_path: Path, encoder: ModelEncoder
) -> None:
    with open_stack("commons,openverse", tmp_path, encoder) as stack:
        names = {one["url"].rpartition("/")[2] for one in searched(stack)["results"]}
        for name in names:
            Path(stack.services.originals.path(name)).unlink()
        for name in names:
            path = stack.services.originals.path(name)
            assert Path(path).read_bytes() == PICTURE
    assert {name.partition("-")[0] for name in names} == {"commons", "openverse"}
