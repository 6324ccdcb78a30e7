"""The page of a run and its tables show what anyone may have written, and what cannot be shown."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest

from imagesearch.cli import run_tables
from imagesearch.cli.run_page import write_page
from imagesearch.evaluation.captions import CaptionedSet
from imagesearch.evaluation.forms import read_captioned
from imagesearch.evaluation.measuring import measure
from imagesearch.evaluation.runs import Run
from tests.world import TwinEncoder, original

HOSTILE = '<script>alert("x")</script> \u202egnp \x1b]0;x\x07'


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, CaptionedSet]:
    tmp_path = tmp_path_factory.mktemp("captioned")
    for number in range(12):
        (tmp_path / f"{number}.jpg").write_bytes(original(f"twin-{number}"))
        (tmp_path / f"{number}.txt").write_text(f"{HOSTILE} {number}")
        (tmp_path / f"{number}.pt-BR.txt").write_text(f"imagem {number}")
    captioned = read_captioned(tmp_path)
    run = measure(TwinEncoder(), captioned, "set <b>", "twin", lambda *_: None)
    return run, captioned


def test_a_page_shows_hostile_captions_and_runs_nothing(
    measured: tuple[Run, CaptionedSet], tmp_path: Path
) -> None:
    run, captioned = measured
    page = tmp_path / "page.html"
    write_page(page, [run], captioned)
    html = page.read_text(encoding="utf-8")
    assert not {*re.findall(r"<(script|b)\b", html)}
    assert not {*"\x1b\x07\u202e"} & {*html}
    assert r'<script>alert("x")</script> \u202egnp' in unescape(html)
    assert '<bdi lang="pt-BR">' in html
    assert len(run.misses) > 5
    # The twins' pictures are none that anybody could look at.
    assert html.count('<div class="none"></div>') == html.count("<figure")


def test_tables_of_languages_fit_a_terminal(
    measured: tuple[Run, CaptionedSet],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {"COLUMNS": "80", "TTY_COMPATIBLE": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    run, _ = measured
    run_tables.print_runs([run])
    run_tables.print_differences([run, run])
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if re.match(r"(pt-BR)? +picture by cosine +[\d+]", line)]
    assert len(rows) == 4, lines
    assert all(line.count("…") == 3 for line in rows)
    assert any(
        re.fullmatch(r"No match in pt-BR, AUROC: 0\.\d{3} 0\.\d{3}…\d\.\d{3}", x) for x in lines
    )
