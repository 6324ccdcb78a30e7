"""`imagesearch mcp` as docs/mcp.md has assistants start it, asked by the official client."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp_types import BlobResourceContents, CallToolResult, TextContent
from PIL import Image

from imagesearch.cli.main import cli
from imagesearch.domain.errors import InvalidRequest
from imagesearch.installation import ROOT
from tests.stub_http import Request, StubServer, reply
from tools import openapi
from tools.pictures import jpeg

PAGE = (ROOT / "docs" / "mcp.md").read_text(encoding="utf-8")
FOUND = openapi.read()["components"]["responses"]["Found"]["content"]["application/json"]["example"]
READY_SECONDS = 60


def configured() -> list[dict[str, Any]]:
    """Return what each configuration of the page starts."""
    blocks = [
        *(json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)),
        *(tomllib.loads(text) for text in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)),
    ]
    keys = ("mcpServers", "servers", "mcp_servers")
    servers = [block[key] for block in blocks for key in keys if key in block]
    assert [list(each) for each in servers] == [["imagesearch"]] * 4
    return [each["imagesearch"] for each in servers]


LOCAL, ELSEWHERE, *OTHERS = configured()


@contextmanager
def api() -> Iterator[StubServer]:
    def script(request: Request) -> bytes:
        answer = json.dumps({**FOUND, "filters": {}})
        return reply(200, answer, Content_Type="application/json")

    with StubServer(script) as server:
        yield server


def started(arguments: list[str], **env: str) -> Client:
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "imagesearch", *arguments],
        env={**os.environ, **env},
        cwd=ROOT,
    )
    return Client(stdio_client(parameters), read_timeout_seconds=60)


def text_of(result: CallToolResult) -> str:
    assert not result.is_error, result
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


def test_each_configuration_of_the_page_starts_one_of_two_commands() -> None:
    assert all(each["command"] == "imagesearch" for each in configured())
    assert all(each["args"] == LOCAL["args"] for each in OTHERS)
    assert f"-- imagesearch {' '.join(LOCAL['args'])}\n" in PAGE


def test_own_pictures_are_added_searched_and_looked_at_over_stdio(tmp_path: Path) -> None:
    pictures = tmp_path / "Pictures"
    pictures.mkdir()
    for number in range(3):
        (pictures / f"{number}.jpg").write_bytes(jpeg(number, 1200, 900))
    before = sorted((each.name, each.stat().st_mtime_ns) for each in pictures.iterdir())

    async def exchange() -> None:
        env = {"HOME": str(tmp_path), "DATA_DIR": str(tmp_path / "data"), "POOL_SIZE": "12"}
        async with started(LOCAL["args"], SOURCE="demo", **env) as client:
            outside = await client.call_tool("add", {"folder": str(tmp_path / "data")})
            assert outside.is_error
            added = text_of(await client.call_tool("add", {"folder": "~/Pictures"}))
            assert added.startswith("The pictures of 'Pictures' are being read")
            await until_ready(client)
            asked = {"sentence": "anything", "collection": "Pictures"}
            found = await client.call_tool("search", asked)
            assert found.structured_content is not None
            hits = found.structured_content["pictures"]
            assert len(hits) == 3
            assert str(tmp_path) not in found.model_dump_json()
            (content,) = (await client.read_resource(hits[0]["resource"])).contents
            assert isinstance(content, BlobResourceContents)
            picture = Image.open(io.BytesIO(base64.b64decode(content.blob)))
            assert picture.size == (768, 576)
            like = await client.call_tool("more_like", {"image_id": hits[0]["image_id"]})
            assert hits[0]["image_id"] not in text_of(like)

    asyncio.run(exchange())
    assert sorted((each.name, each.stat().st_mtime_ns) for each in pictures.iterdir()) == before


async def until_ready(client: Client) -> None:
    give_up_at = time.monotonic() + READY_SECONDS
    while True:
        status = (await client.call_tool("pool_status", {"of": "Pictures"})).structured_content
        assert status is not None
        if (status["state"], status["searchable"]) == ("ready", 3):
            return
        assert time.monotonic() < give_up_at, status
        await asyncio.sleep(0.2)


def test_a_server_elsewhere_is_asked_with_its_key_and_nothing_is_added_to_it() -> None:
    async def exchange(url: str) -> None:
        arguments = [url if each.startswith("https:") else each for each in ELSEWHERE["args"]]
        async with started(arguments, **ELSEWHERE["env"]) as client:
            found = await client.call_tool("search", {"sentence": "horses"})
            assert text_of(found).startswith("1. pixabay-736885 (strong match)")
            refused = await client.call_tool("add", {"folder": "/"})
            assert refused.is_error
            assert "no folder can be added" in refused.model_dump_json()

    with api() as server:
        asyncio.run(exchange(server.origin))
        assert server.requests[0].headers["x-api-key"] == ELSEWHERE["env"]["SEARCH_API_KEY"]


def test_the_exchange_of_the_page_is_what_is_said_over_stdio() -> None:
    (block,) = re.findall(r"```\n(→.*?)```", PAGE, re.DOTALL)
    with StubServer(_as_on_the_page) as server:
        process = subprocess.Popen(
            [sys.executable, "-m", "imagesearch", "mcp", "--url", server.origin],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin
        assert process.stdout
        with process:
            for line in block.splitlines():
                message = json.loads(line[2:])
                if line.startswith("→"):
                    process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
                    process.stdin.flush()
                else:
                    answer = json.loads(process.stdout.readline())
                    assert is_like(answer, {"jsonrpc": "2.0", **message}), answer


def is_like(value: Any, shown: Any) -> bool:
    """Return whether *value* is what is *shown*, in which `…` stands for anything."""
    if isinstance(shown, str) and shown.endswith("…"):
        return isinstance(value, str) and value.startswith(shown[:-1])
    if isinstance(shown, dict):
        names = shown.keys() - {"…"}
        is_whole = "…" in shown or names == value.keys()
        return is_whole and all(is_like(value.get(name), shown[name]) for name in names)
    if isinstance(shown, list):
        rest = shown[-1:] == ["…"]
        parts = shown[:-1] if rest else shown
        is_whole = rest or len(parts) == len(value)
        return is_whole and all(map(is_like, value, parts))
    return bool(value == shown)


def _as_on_the_page(request: Request) -> bytes:
    path, query = urlsplit(request.target).path, request.query
    if path.startswith("/images/"):
        return reply(200, jpeg(1, 60, 40))
    if path.startswith("/pools/"):
        return reply(200, json.dumps({**FOUND["pool"], "rejections": {}}))
    url = f"http://{request.headers['host']}/images/pixabay-736885.jpg"
    hit = {**FOUND["results"][0], "url": url}
    answer = {**FOUND, "filters": {}, "results": [hit]}
    if query.get("s_query") == "a pizza":
        answer |= {"matched": False, "results": [{**hit, "match": "none"}]}
    if "like" in query:
        other = {**hit, "image_id": "pixabay-1", "match": "fair"}
        answer |= {"like": [query["like"]], "scope": "catalog", "pool": None, "results": [other]}
    return reply(200, json.dumps(answer))


def test_over_http_it_answers_at_mcp_and_no_page_of_elsewhere() -> None:
    command = [sys.executable, "-m", "imagesearch", "mcp", "--port", "0", "--url"]
    with (
        api() as server,
        subprocess.Popen([*command, server.origin], stderr=subprocess.PIPE, text=True) as process,
    ):
        try:
            assert process.stderr is not None
            told = re.search(r"http://127\.0\.0\.1:\d+/mcp", process.stderr.readline())
            assert told is not None
            url = told[0]

            async def ask() -> str:
                async with Client(url, read_timeout_seconds=60) as client:
                    return text_of(await client.call_tool("search", {"sentence": "horses"}))

            assert asyncio.run(ask()).startswith("1. pixabay-736885 (strong match)")
            headers = {"Origin": "https://elsewhere.example", "Accept": "application/json"}
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
            assert httpx.post(url, headers=headers, json=body).status_code == 403
        finally:
            process.terminate()


def test_a_second_one_says_that_the_folder_is_in_use_and_what_all_can_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imagesearch.local.embedded.stack import FolderInUse, FolderLock

    monkeypatch.setattr("imagesearch.cli.mcp.TURN_SECONDS", 0.0)
    with closing(FolderLock(tmp_path)), pytest.raises(FolderInUse) as told:
        cli(["mcp", "--data-dir", str(tmp_path)])
    assert "is in use by another imagesearch: end it, or run `imagesearch serve`" in str(told.value)


def test_what_cannot_be_is_told_before_anything_starts() -> None:
    with pytest.raises(InvalidRequest, match=r"^--add-from must come without --url"):
        cli(["mcp", "--url", "http://127.0.0.1:9", "--add-from", "/p"])
