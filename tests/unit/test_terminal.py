"""The command line: hostile answers, poor terminals, closed streams in processes of their own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imagesearch.cli.contact_sheet import CELL, thumbnail, write_contact_sheet
from tests.e2e.test_cli import imagesearch
from tests.stub_http import Request, StubServer, reply
from tests.unit.test_client import FOUND, RESULT, changed

ROOT = Path(__file__).resolve().parents[2]
CLIPBOARD = "\x1b]52;c;ZXZpbA==\x07"
HOSTILE = f"{CLIPBOARD}\x9b31m\x08\r\n\u202egnp[red]\x7f\ud800é马"
HOSTILE_RESULT = {
    **RESULT,
    "image_id": f"id{HOSTILE}",
    "url": f"https://cdn.example/{CLIPBOARD}",
    "page_url": f"https://pixabay.com/{CLIPBOARD}",
    "credit": {"user": HOSTILE, "source": HOSTILE},
    "tags": [HOSTILE],
}
HOSTILE_FOUND = {
    **FOUND,
    "results": [HOSTILE_RESULT],
    "pool": {**FOUND["pool"], "state": "failed", "reason": HOSTILE},
    "complete": False,
    "query_truncated": True,
}
NOTHING_FOUND = {**FOUND, "results": [], "keyword": HOSTILE}


def command(*arguments: str | bytes) -> list[str | bytes]:
    return [sys.executable, "-m", "imagesearch", *arguments]


def environment(**changes: str) -> dict[str, str]:
    unwanted = ("COVERAGE_PROCESS_CONFIG", "NO_COLOR", "PYTHONIOENCODING")
    clean = {name: value for name, value in os.environ.items() if name not in unwanted}
    return {**clean, "COLUMNS": "1000", "TERM": "xterm-256color", "PYTHONUTF8": "1", **changes}


def run(*arguments: str | bytes, **env: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(*arguments), capture_output=True, env=environment(**env), cwd=ROOT, timeout=120
    )


def search(answer: Any, *arguments: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    with serving(answer) as url:
        return run("search", "horse", "a horse", "--url", url, *arguments, **env)


@contextlib.contextmanager
def serving(answer: Any, status: int = 200) -> Iterator[str]:
    with StubServer(lambda _: reply(status, json.dumps(answer))) as server:
        yield server.origin


def on_terminal(*arguments: str) -> tuple[int, str]:
    """Run the command with both streams on a terminal; return its exit status and what it shows."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command(*arguments), stdout=theirs, stderr=theirs, env=environment(), cwd=ROOT
    ) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # Linux: the other end is closed
            while chunk := os.read(ours, 65_536):
                shown += chunk
        os.close(ours)
    return process.returncode, shown.decode()


def failure(
    ended: subprocess.CompletedProcess[bytes] | subprocess.CompletedProcess[str],
) -> str:
    """Return the one line that *ended* told of its failure."""
    assert ended.returncode in (1, 2)
    told = ended.stderr if isinstance(ended.stderr, str) else ended.stderr.decode()
    (line,) = told.splitlines()
    assert line.isprintable()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


def play_no_tricks(shown: str) -> bool:
    return not [
        one for one in ("\x1b]52", "\x07", "\x9b", "\x08", "\u202e", "\x7f") if one in shown
    ]


@pytest.mark.parametrize("answer", [HOSTILE_FOUND, NOTHING_FOUND], ids=["found", "nothing"])
def test_what_an_answer_holds_plays_no_tricks_with_the_terminal(answer: Any) -> None:
    with serving(answer) as url:
        status, shown = on_terminal("search", "horse", "a horse", "--url", url)
    assert status == 0, shown
    assert play_no_tricks(shown)
    written_out = r"\x1b]52;c;ZXZpbA==\x07\x9b31m\x08\r\n\u202egnp[red]\x7f\ud800é马"
    assert written_out in shown
    assert "\x1b]8;" not in shown, "what is no URL is no link"


def test_each_source_that_images_come_from_is_named() -> None:
    results = [
        {**RESULT, "image_id": f"i-{n}", "credit": {"user": "Ann", "source": source}}
        for n, source in enumerate(["Openverse", "Wikimedia Commons", "Openverse"])
    ]
    with serving({**FOUND, "results": results}) as url:
        shown = imagesearch("search", "horse", "a horse", "--url", url).stdout
    assert "images from Openverse and Wikimedia Commons searched in" in shown


def test_a_refusal_plays_none_either() -> None:
    with serving({"error": {"message": HOSTILE}}, 503) as url:
        status, shown = on_terminal("search", "horse", "a horse", "--url", url)
    assert status == 1
    assert play_no_tricks(shown)
    assert r"\x1b]52;c;" in shown


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_json_is_the_whole_answer_in_any_encoding(encoding: str) -> None:
    ended = search(HOSTILE_FOUND, "--json", PYTHONIOENCODING=encoding)
    assert ended.returncode == 0, ended.stderr
    text = ended.stdout.decode(encoding)
    assert json.loads(text) == HOSTILE_FOUND
    assert ("马" in text) == (encoding == "utf-8")
    assert all(one.isprintable() or one == "\n" for one in text)


@pytest.mark.parametrize(
    "env",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=["ascii", "latin-1", "C"],
)
def test_what_cannot_be_encoded_is_replaced(env: dict[str, str]) -> None:
    ended = search(HOSTILE_FOUND, **env)
    assert ended.returncode == 0, ended.stderr
    shown = ended.stdout.decode("latin-1")
    assert r"\ud800" + ("é?" if env.get("PYTHONIOENCODING") == "latin-1" else "??") in shown


def test_a_broken_argument_is_named_on_one_line() -> None:
    told = failure(run("search", b"caf\xe9", "x", "--url", "http://127.0.0.1:9"))
    assert told == r"KEYWORD must be text in UTF-8, got 'caf\udce9'"
    assert "No such option" in failure(run("search", b"--\x1b[31m\xff", "x", "y"))


def test_an_argument_in_utf_8_is_read_in_a_locale_that_knows_none() -> None:
    with StubServer(lambda _: reply(200, json.dumps(FOUND))) as server:
        asked = ("search", "köln".encode(), "x", "--url", server.origin)
        ended = run(*asked, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
        assert ended.returncode == 0, ended.stderr
        assert server.requests[0].query["t"] == "köln"


def shell(redirections: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command with *redirections* of a shell."""
    return subprocess.run(
        ["sh", "-c", f'"$@" {redirections}', "sh", *(str(one) for one in command(*arguments))],
        capture_output=True,
        env=environment(),
        cwd=ROOT,
        timeout=120,
    )


def test_a_closed_or_full_stdout_is_told() -> None:
    with serving(FOUND) as url:
        asked = ("search", "horse", "a horse", "--url", url)
        assert "stdout is closed" in failure(shell(">&-", *asked))
        if Path("/dev/full").exists():
            assert "No space left on device" in failure(shell(">/dev/full", *asked))


def test_a_closed_stderr_does_not_end_a_search() -> None:
    with serving(FOUND) as url:
        ended = shell("2>&-", "search", "horse", "a horse", "--url", url)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"pixabay-1" in ended.stdout
    assert shell("2>&- <&-", "search", "horse", "a horse", "-k", "0").returncode == 1


def test_a_reader_that_has_gone_ends_it_in_silence() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with serving(FOUND) as url:
        ended = subprocess.run(
            command("search", "horse", "a horse", "--url", url),
            stdout=writing,
            stderr=subprocess.PIPE,
            env=environment(),
            cwd=ROOT,
            timeout=120,
        )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (1, b"")


def test_a_failure_is_one_line_and_a_traceback_at_debug_alone() -> None:
    asked = ("search", "horse", "a horse", "--url", "http://127.0.0.1:9")
    assert "http://127.0.0.1:9/search does not answer" in failure(run(*asked))
    ended = run(*asked, LOG_LEVEL=" debug")
    *log, line = ended.stderr.decode().splitlines()
    assert "does not answer" in line
    assert any(
        "Traceback (most recent call last)" in json.loads(entry)["stack_trace"]
        for entry in log[-1:]
    )


def test_options_are_checked_as_the_settings_they_stand_for() -> None:
    ended = imagesearch(
        "serve", "--port", "８０８０", "--host", "localhost:80", "--data-dir", "~no-one-here"
    )
    assert ended.returncode == 1
    told = ended.stderr.removeprefix("error: ").splitlines()
    assert [line.split(":")[0] for line in told] == ["BIND_ADDRESS", "PORT", "DATA_DIR"]


def test_what_cannot_be_read_is_one_line_too() -> None:
    ended = imagesearch("search", "--qqq")
    assert failure(ended).upper() == "NO SUCH OPTION: --QQQ"
    assert ended.returncode == 2


def test_two_pictures_that_are_too_large_together_are_called_by_their_options(
    tmp_path: Path,
) -> None:
    photo = tmp_path / "large.jpg"
    photo.write_bytes(b"\xff\xd8\xff" * 2_000_000)
    told = failure(imagesearch("search", "horse", "--like", str(photo), "--unlike", str(photo)))
    assert told == "--like and --unlike must have at most 10000000 bytes together, got 12000000"


@pytest.mark.parametrize(("covered", "share"), [(0.637, "63 %"), (None, "Not all")])
def test_a_search_of_everything_says_which_share_was_compared(
    covered: float | None, share: str
) -> None:
    found = {**FOUND, "scope": "catalog", "keyword": None, "pool": None, "complete": False}
    with serving({**found, "covered": covered}) as url:
        shown = imagesearch("search", "a horse", "--everywhere", "--url", url).stdout
    assert f"{share} of it was compared; the rest waits for a new model." in shown


def test_a_search_for_nothing_is_told_what_would_do() -> None:
    ended = imagesearch("search")
    assert failure(ended) == "QUERY or --like must be given, got neither"
    assert ended.returncode == 1


def test_a_sentence_without_quotes_is_told_to_have_them() -> None:
    told = failure(imagesearch("search", "horses", "amidst", "flowers"))
    assert told == "[KEYWORD] QUERY must be one text or two, each in quotes, got 3"


@pytest.mark.parametrize("path", ["file:///dev/zero", "{server}/none", "{server}/picture"])
def test_a_contact_sheet_is_of_pictures_that_were_had_over_http(tmp_path: Path, path: str) -> None:
    def script(request: Request) -> bytes:
        if request.target.startswith("/search"):
            answer = changed("results", 0, "url", to=path.format(server=server.origin))
            return reply(200, json.dumps(answer))
        return reply(200, png(20, 10)) if request.target == "/picture" else reply(404, "no")

    sheet = tmp_path / "sheet.png"
    with StubServer(script) as server:
        asked = ("search", "horse", "x", "--url", server.origin, "--contact-sheet", str(sheet))
        ended = imagesearch(*asked)
    if path == "{server}/picture":
        assert ended.returncode == 0, ended.stderr
        assert sheet.exists()
    else:
        told = failure(ended)
        assert "is no http or https URL" in told or "answered HTTP 404" in told
        assert not sheet.exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("text", "it is no whole JPEG, PNG or WebP image"),
        ("huge", "it has more than 89478485 pixels"),
        ("cut in its head", "it is no whole JPEG, PNG or WebP image"),
        ("cut", "it is damaged"),
        ("postscript", "it is no whole JPEG, PNG or WebP image"),
    ],
)
def test_a_picture_that_cannot_be_read_is_named_with_the_reason(
    tmp_path: Path, name: str, reason: str
) -> None:
    whole = png(20, 10)
    bodies = {
        "text": b"no",
        "huge": png(20_000, 10_000),
        "cut in its head": whole[:40],
        "cut": encoded(Image.effect_noise((64, 64), 50))[:2_000],
    }
    data = bodies.get(name, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(OSError, match="the picture of") as caught:
        write_contact_sheet(tmp_path / "sheet.png", [(whole, "1. a"), (data, "2. b")])
    assert str(caught.value) == f"the picture of 2. b cannot be read: {reason}"


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white_on_a_contact_sheet(mode: str) -> None:
    drawing = Image.new("RGBA", (32, 24), (0, 0, 0, 0))
    drawing.paste("black", (0, 0, 16, 24))
    cell = thumbnail(encoded(drawing.convert(mode)))
    left, right = (cell.getpixel((x, CELL[1] // 2)) for x in (40, CELL[0] - 40))
    assert (left, right) == ((0, 0, 0), (255, 255, 255))


def png(width: int, height: int) -> bytes:
    return encoded(Image.new("1", (width, height)))


def encoded(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
