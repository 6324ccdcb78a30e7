"""The command line as a person runs it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
import requests
from PIL import Image

from imagesearch.cli.contact_sheet import write_contact_sheet
from imagesearch.cli.main import main
from tests.e2e.conftest import Serving
from tests.log_lines import kept_logging

POOL_SIZE = 12  # small, where the size does not matter


def imagesearch(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command in this process: another one takes seconds to start."""
    command = ["imagesearch", *arguments]
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patched, kept_logging():
        patched.delenv("PIXABAY_API_KEY", raising=False)
        for name, value in {"COLUMNS": "160", "POOL_SIZE": str(POOL_SIZE), **env}.items():
            patched.setenv(name, value)
        patched.setattr(sys, "argv", command)
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main()
    status = ended.value.code
    assert isinstance(status, int | None)
    return subprocess.CompletedProcess(command, status or 0, out.getvalue(), err.getvalue())


def process(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own."""
    clean = {name: value for name, value in os.environ.items() if name != "PIXABAY_API_KEY"}
    return subprocess.run(
        [sys.executable, "-m", "imagesearch", *arguments],
        capture_output=True,
        text=True,
        env={**clean, "COLUMNS": "160", "POOL_SIZE": str(POOL_SIZE), **env},
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli") / "data"


@dataclass(frozen=True)
class AtOnce:
    """Two searches that were typed at once, on one data folder, which nobody had used before."""

    table: subprocess.CompletedProcess[str]
    sheet: Path
    other: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def at_once(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> AtOnce:
    sheet = tmp_path_factory.mktemp("sheet") / "found.png"
    table = ("search", "penguin", "three penguins", "-k", "5", "--contact-sheet", str(sheet))
    with ThreadPoolExecutor(2) as threads:
        runs = [
            threads.submit(process, *typed, "--data-dir", str(data_dir))
            for typed in (table, ("search", "tree", "x", "-k", "1"))
        ]
    return AtOnce(runs[0].result(), sheet, runs[1].result())


def test_a_search_prints_a_table_and_writes_a_contact_sheet(at_once: AtOnce) -> None:
    run, sheet = at_once.table, at_once.sheet
    assert run.returncode == 0, run.stderr
    assert "demo-" in run.stdout
    assert "penguin" in run.stdout
    assert f"{POOL_SIZE} images from the demo gallery searched in" in run.stdout
    assert "Demo" in run.stderr
    with Image.open(sheet) as image:
        assert image.size == (3 * 332 + 12, 2 * 280 + 12)


def test_a_search_says_where_its_images_come_from_over_what_the_environment_says(
    data_dir: Path,
) -> None:
    run = imagesearch(
        *("search", "penguin", "x", "-k", "1", "--from", "demo", "--data-dir", str(data_dir)),
        PIXABAY_API_KEY="a-key",
    )
    assert run.returncode == 0, run.stderr
    assert "demo-" in run.stdout


def test_json_is_the_apis_answer_and_nothing_else(data_dir: Path) -> None:
    run = imagesearch(
        *("search", "penguin", "three penguins", "-k", "2", "--json", "--data-dir", str(data_dir))
    )
    answer = json.loads(run.stdout)
    assert len(answer["results"]) == 2
    assert all(Path(url.removeprefix("file://")).is_file() for url in answer["top_urls"])


def test_one_sentence_is_enough_and_its_keywords_are_said(data_dir: Path) -> None:
    run = imagesearch("search", "two horses amidst flowers", "--data-dir", str(data_dir))
    assert run.returncode == 0, run.stderr
    assert "Keywords taken from the sentence: 'horse flower' and 'horse'." in run.stderr
    assert "demo-" in run.stdout


def test_what_looks_the_same_is_counted_beside_its_best(server: Serving) -> None:
    """Of the demo's 200 horses some stand alike in one landscape at one time of day."""
    horse = ("search", "horse", "a horse", "-k", "200", "--url", server.url)
    folded, all_of_them = imagesearch(*horse), imagesearch(*horse, "--no-fold")
    similar = [int(count) for count in re.findall(r"\+(\d+) similar", folded.stdout)]
    assert similar, folded.stderr
    assert folded.stdout.count("demo-") + sum(similar) == 200
    assert all_of_them.stdout.count("demo-") == 200, all_of_them.stderr
    assert "similar" not in all_of_them.stdout


def test_a_colour_is_an_option(server: Serving) -> None:
    run = imagesearch("search", "horse", "a horse", "--colour", "green", "--url", server.url)
    assert run.returncode == 0, run.stderr
    assert " of 200 images from the demo gallery match" in run.stdout
    bad = imagesearch("search", "horse", "a horse", "--colour", "mauve")
    assert bad.returncode == 1
    assert "colour must be one of red, orange" in bad.stderr


def test_a_filter_is_an_option_and_what_matches_is_said(server: Serving) -> None:
    """The demo's pictures are all horizontal."""
    horse = ("search", "horse", "a horse", "-k", "2", "--url", server.url)
    wide = imagesearch(*horse, "--orientation", "horizontal")
    assert wide.returncode == 0, wide.stderr
    assert "200 of 200 images from the demo gallery match and were searched in" in wide.stdout
    tall = imagesearch(*horse, "--orientation", "vertical")
    assert tall.returncode == 0, tall.stderr
    none = "None of the 200 images for 'horse' has orientation vertical."
    assert tall.stdout.strip() == none
    answer = json.loads(imagesearch(*horse, "--orientation", "vertical", "--json").stdout)
    assert (answer["results"], answer["matching"], answer["pool"]["images"]) == ([], 0, 200)


@pytest.mark.parametrize("word", ["diagonal", "' OR 1=1 --", "\u7e26"])
def test_a_filter_that_cannot_be_read_is_refused_before_anything_starts(
    tmp_path: Path, word: str
) -> None:
    run = imagesearch(
        "search", "star", "x", "--orientation", word, "--data-dir", str(tmp_path / "d")
    )
    bound = "--orientation must be one of all, horizontal, vertical, square, got "
    assert (run.returncode, run.stderr) == (1, f"error: {bound}{word!r}\n")
    assert not (tmp_path / "d").exists()


def test_nothing_found_is_said_with_what_the_demo_knows(data_dir: Path) -> None:
    run = imagesearch("search", "dragon", "a dragon", "--data-dir", str(data_dir))
    assert run.returncode == 0
    assert "Nothing found for 'dragon'." in run.stdout
    assert "penguin" in run.stderr


def test_both_keywords_are_said_of_which_nothing_was_found(server: Serving) -> None:
    dragon = imagesearch("search", "a dragon beside a griffin", "--url", server.url)
    assert "Nothing found for 'dragon griffin', nor for 'dragon'." in dragon.stdout, dragon.stderr
    horses = ("search", "two horses amidst flowers", "--user", "nobody", "--url", server.url)
    none = imagesearch(*horses)
    assert "None of the images for 'horse flower' and 'horse' has user nobody." in none.stdout


def test_a_later_contact_sheet_is_numbered_as_the_table(server: Serving, tmp_path: Path) -> None:
    horse = ("search", "horse", "a horse", "-k", "2", "--url", server.url)
    cursor = imagesearch(*horse).stdout.partition("--more ")[2].split()[0]
    answer = json.loads(imagesearch(*horse, "--more", cursor, "--json").stdout)
    sheet, expected = tmp_path / "found.png", tmp_path / "expected.png"
    run = imagesearch(*horse, "--more", cursor, "--contact-sheet", str(sheet))
    assert run.returncode == 0, run.stderr
    pictures = [
        (
            requests.get(result["url"], timeout=30).content,
            f"{rank}. {result['image_id']}  {result['score']:.3f}",
        )
        for rank, result in zip((3, 4), answer["results"], strict=True)
    ]
    write_contact_sheet(expected, pictures)
    assert sheet.read_bytes() == expected.read_bytes()


def test_a_second_process_asks_the_one_that_has_the_folder(server: Serving) -> None:
    run = imagesearch("search", "horse", "x", "-k", "1", "--data-dir", str(server.data_dir))
    assert run.returncode == 0, run.stderr
    assert server.url in run.stderr
    assert "demo-" in run.stdout


def test_an_ipv6_server_greets_and_is_asked(small: Serving) -> None:
    assert small.url.startswith("http://[::1]:")
    run = imagesearch("search", "moon", "a moon", "-k", "1", "--url", small.url)
    assert run.returncode == 0, run.stderr
    assert "demo-" in run.stdout


def test_a_server_elsewhere_can_be_asked(server: Serving) -> None:
    run = imagesearch("search", "horse", "x", "-k", "1", "--json", "--url", server.url)
    assert json.loads(run.stdout)["top_urls"][0].startswith(server.url)


@pytest.mark.parametrize(
    ("arguments", "env", "message"),
    [
        (("-k", "0"), {}, "k must be between 1 and 200, got 0"),
        (
            (),
            {"POOL_SIZE": "501"},
            "POOL_SIZE: Input should be less than or equal to 500, got '501'",
        ),
        ((), {"CLIP_MODEL": "/nowhere"}, "CLIP_MODEL=/nowhere cannot be loaded"),
        (("--url", "http://127.0.0.1:9"), {}, "http://127.0.0.1:9/search does not answer"),
        (("--url", "http://x", "--from", "demo"), {}, "--from demo: with --url none is chosen"),
        (("--from", "demo,openverse"), {}, "SOURCE: `demo` must stand alone"),
        (
            ("--from", "commons", "--model", "/nowhere"),
            {},
            "the setting SOURCE_CONTACT is missing",
        ),
    ],
)
def test_what_a_person_can_mend_is_one_line_and_status_1(
    tmp_path: Path, arguments: tuple[str, ...], env: dict[str, str], message: str
) -> None:
    run = imagesearch("search", "star", "x", *arguments, DATA_DIR=str(tmp_path / "data"), **env)
    assert run.returncode == 1
    assert message in " ".join(run.stderr.split())
    assert "Traceback" not in run.stderr


def test_two_searches_on_one_folder_take_turns(at_once: AtOnce) -> None:
    runs = (at_once.table, at_once.other)
    assert [run.returncode for run in runs] == [0, 0], [run.stderr for run in runs]


def test_a_data_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    run = imagesearch("search", "star", "x", "--data-dir", str(tmp_path / "file"))
    assert run.returncode == 1
    assert f"DATA_DIR {tmp_path / 'file'} cannot be used" in " ".join(run.stderr.split())


def test_a_port_in_use_is_named_with_a_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        run = process("serve", "--port", port, DATA_DIR=str(tmp_path / "data"))
    assert run.returncode == 1
    assert f"PORT {port}" in run.stderr
    assert "PORT=0" in run.stderr


def test_help_shows_examples() -> None:
    for command in ("serve", "search"):
        run = imagesearch(command, "--help")
        assert run.returncode == 0
        assert f"\n    imagesearch {command}" in run.stdout
