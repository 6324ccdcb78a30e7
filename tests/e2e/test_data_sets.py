"""`imagesearch add` of a list of URLs, as a person runs it; then searched and measured."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from imagesearch.sources import polite
from imagesearch.sources.download import Downloader
from tests.e2e.test_collections import Terminal, rows
from tests.e2e.test_forget import own_pictures
from tests.stub_http import StubServer, reply
from tools.pictures import jpeg


def test_a_list_of_urls_is_added_searched_measured_and_updated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    imagesearch = Terminal(tmp_path / "data", capsys)
    gone = {"/7.jpg"}

    def script(request: object) -> bytes:
        target = getattr(request, "target")  # noqa: B009
        return reply(404) if target in gone else reply(200, jpeg(int(target[1:-4])))

    with StubServer(script) as server:
        monkeypatch.setattr(polite, "Downloader", partial(Downloader, allowed_origin=server.origin))
        words = "grey dark light black white plain blank lost".split()
        rows = [
            f"{server.origin}/{n}.jpg,a {word} square,Ada,CC BY 4.0" for n, word in enumerate(words)
        ]
        rows += [
            f"{server.origin}/0.jpg,nothing but grey,Ada,CC BY 4.0",
            "https://10.0.0.1/x.jpg,a,,",
        ]
        file = tmp_path / "squares.csv"
        file.write_text("\n".join(["Image URL,caption,photographer,licence", *rows]))

        added = imagesearch("add", str(file))
        assert "squares: 9 pictures, 7 embedded" in added.out
        assert "7.jpg: the image host answered 404" in added.out
        assert "10.0.0.1/x.jpg: " in added.out
        assert "is not a public address" in added.out
        assert added.status == 1, "as not all was added"

        asked = len(server.requests)
        gone.clear()
        again = imagesearch("update")
        assert "1 embedded" in again.out
        assert "7 as they were" in again.out
        assert [each.target for each in server.requests[asked:]] == ["/7.jpg"]

        found = imagesearch("search", "grey", "--collection", "squares", "--json", "-k", "1")
        (result,) = json.loads(found.out)["results"]
        assert result["credit"] == {
            **result["credit"],
            "user": "Ada",
            "source": "squares.csv",
            "licence": "CC BY 4.0",
        }

        asked = len(server.requests)
        measured = json.loads(imagesearch("eval", "--collection", "squares", "--json").out)
        (figures,) = measured["runs"][0]["figures"]
        assert (figures["pictures"], figures["captions"]) == (8, 9)
        assert len(server.requests) == asked


def test_a_folder_a_list_and_a_shard_that_were_renamed_are_the_collections_that_they_were(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    imagesearch = Terminal(tmp_path / "data", capsys)
    with own_pictures(tmp_path, imagesearch, monkeypatch) as host:
        asked = len(host.requests)
        renamed = {"Pictures": "Photos", "shard.tar": "moved/part.tar", "list.csv": "moved.csv"}
        (tmp_path / "moved").mkdir()
        for before, after in renamed.items():
            (tmp_path / before).rename(tmp_path / after)
            added = imagesearch("add", str(tmp_path / after))
            name = before.partition(".")[0]
            assert f"'{name}' was {tmp_path / before}, which is gone" in added.out
            assert f"It keeps its name, '{name}'." in added.out
            assert f"{name}: 2 pictures, 2 " in added.out
            assert "embedded" not in added.out
        assert len(host.requests) == asked
        kept = rows(imagesearch.data, "SELECT name, root FROM collections ORDER BY name")
        assert kept == [
            ("Pictures", str(tmp_path / "Photos")),
            ("list", str(tmp_path / "moved.csv")),
            ("shard", str(tmp_path / "moved" / "part.tar")),
        ]
        assert rows(imagesearch.data, "SELECT count(*) FROM files") == [(6,)]
        again = imagesearch("update")
        assert (again.status, again.out.count("2 as they were")) == (0, 3), again
