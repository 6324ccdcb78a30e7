"""Reference captions are embedded once; thresholds are good for one model and its captions."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imagesearch.cli.local_stack import opened_stack
from imagesearch.domain.ranking import Thresholds
from imagesearch.ports import TextEmbedding
from imagesearch.settings import DEMO_MODEL, load_settings
from inference_service import references
from inference_service.calibration import read_thresholds, write_thresholds
from inference_service.references import CAPTIONS, ReferenceCaptions, cache_folder
from tests.world import TwinEncoder

LEVELS = Thresholds(3.0, 2.0, 1.0)
NEWER = ("per_spread", "hubness_share", "phrase_share")


class Counting:
    """Embeds texts, and counts them."""

    def __init__(self) -> None:
        self.texts = 0

    def __call__(self, texts: Sequence[str]) -> list[TextEmbedding]:
        self.texts += len(texts)
        return [TwinEncoder().encode_text(text) for text in texts]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_our_captions_are_some_four_hundred_that_differ() -> None:
    texts = ReferenceCaptions.of(Path("nowhere")).texts
    assert 400 <= len(texts) <= 450
    assert len(set(texts)) == len(texts)
    assert all(text == text.strip() and 3 <= len(text.split()) <= 10 for text in texts)


def test_they_are_embedded_by_the_first_start_and_read_by_the_next() -> None:
    captions, embed = ReferenceCaptions.of(Path("nowhere")), Counting()
    made, read = captions.embedded("m-p1", embed), captions.embedded("m-p1", embed)
    assert embed.texts == len(captions.texts)
    assert made.tobytes() == read.tobytes()
    (file,) = cache_folder().iterdir()
    assert file.stat().st_mode & 0o777 == 0o644
    assert made[7].tolist() == TwinEncoder().encode_text(captions.texts[7]).vector.tolist()


@pytest.fixture
def _slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any model takes longer than what nothing is said of."""
    monkeypatch.setattr(references, "_UNTOLD_SECONDS", 0.0)


@pytest.mark.usefixtures("_slow")
def test_whoever_waits_long_is_told_how_many_of_what_and_where_they_are_kept() -> None:
    captions, told = ReferenceCaptions.of(Path("nowhere")), list[str]()
    for _ in range(2):
        captions.embedded("m-p1", Counting(), told.append)
    begun, ended = told
    what = f"the {len(captions.texts)} reference captions of m-p1"
    place = re.escape(str(cache_folder()))
    later = f"later starts read them from {place}"
    assert re.fullmatch(rf"Embedding {what}, some \d+ seconds more: {later}", begun)
    assert re.fullmatch(rf"Embedded {what} in \d+ seconds", ended)


def test_of_a_moment_nothing_is_said() -> None:
    told = list[str]()
    ReferenceCaptions.of(Path("nowhere")).embedded("m-p1", Counting(), told.append)
    assert told == []


@pytest.mark.slow
@pytest.mark.usefixtures("_slow")
@pytest.mark.parametrize("is_logged", [True, False])
def test_a_first_search_says_it_plainly_and_a_server_in_its_log(
    is_logged: bool,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = load_settings(data_dir=tmp_path / "data", clip_model=str(DEMO_MODEL))
    caplog.set_level(logging.INFO if is_logged else logging.CRITICAL)
    with opened_stack(settings):
        pass
    plainly = [line.partition(",")[0] for line in capsys.readouterr().err.splitlines()]
    logged = [message.partition(",")[0] for message in caplog.messages]
    begun = f"Embedding the {len(ReferenceCaptions.of(DEMO_MODEL).texts)} reference captions of "
    assert sum(line.startswith(begun) for line in plainly) == (not is_logged)
    assert sum(line.startswith(begun) for line in logged) == is_logged


def test_those_in_float32_are_not_those_of_the_processors_own_precision() -> None:
    captions, fast, exact = ReferenceCaptions.of(Path("nowhere")), Counting(), Counting()
    captions.embedded("m-p1", fast)
    for _ in range(2):
        captions.embedded("m-p1", exact, in_float32=True)
    assert fast.texts == exact.texts == len(captions.texts)
    assert len([*cache_folder().iterdir()]) == 2


def test_another_model_and_other_captions_have_their_own(tmp_path: Path) -> None:
    embed = Counting()
    ours = ReferenceCaptions.of(Path("nowhere"))
    ours.embedded("m-p1", embed)
    ours.embedded("m-p2", embed)
    assert embed.texts == 2 * len(ours.texts)
    (tmp_path / "references.txt").write_text("a red circle\n\n a blue star \n")
    own = ReferenceCaptions.of(tmp_path)
    assert own.texts == ("a red circle", "a blue star")
    assert own.embedded("m-p1", embed).shape == (2, 16)
    assert own.digest != ours.digest


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\x93NUMPY\x01\x00",
        b"not an array",
        np.zeros((2, 16), np.float32),
        np.full((2, 16), np.nan, np.float32),
        np.ones((3, 16), np.float32) / 4,
        np.ones((2, 16)) / 4,
        np.ones(2, np.float32),
    ],
)
def test_damaged_ones_are_made_anew_and_said_once(
    tmp_path: Path, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "references.txt").write_text("a red circle\na blue star\n")
    captions, embed = ReferenceCaptions.of(tmp_path), Counting()
    made = captions.embedded("m-p1", embed)
    (file,) = cache_folder().iterdir()
    if isinstance(damage, bytes):
        file.write_bytes(damage)
    else:
        np.save(file, damage)  # type: ignore[arg-type]
    for _ in range(2):
        assert captions.embedded("m-p1", embed).tobytes() == made.tobytes()
    assert embed.texts == 4
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert os.listdir(cache_folder()) == [file.name]


def test_where_they_cannot_be_kept_each_start_makes_them(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder is needed")
    captions, embed = ReferenceCaptions.of(tmp_path), Counting()
    assert len(captions.embedded("m-p1", embed)) == len(captions.texts)


def test_a_cache_folder_that_is_not_absolute_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == Path.home() / ".cache" / "imagesearch"


def test_a_file_without_captions_is_refused(tmp_path: Path) -> None:
    (tmp_path / "references.txt").write_text("\n \n")
    with pytest.raises(ValueError, match="holds no caption"):
        ReferenceCaptions.of(tmp_path)


def test_captions_lie_beside_the_code() -> None:
    assert CAPTIONS.is_file()


@pytest.mark.parametrize("per_spread", [True, False])
def test_thresholds_come_back_as_they_were_written(tmp_path: Path, per_spread: bool) -> None:
    levels = replace(LEVELS, per_spread=per_spread, hubness_share=0.25, phrase_share=0.5)
    file = write_thresholds(tmp_path, "m-p1", "abc", levels)
    assert read_thresholds(tmp_path, "m-p1", "abc") == levels
    assert file.parent == tmp_path


def test_thresholds_of_before_are_by_their_spread_and_less_half_of_hubness(tmp_path: Path) -> None:
    file = write_thresholds(tmp_path, "m-p1", "abc", LEVELS)
    lines = file.read_text().splitlines()
    file.write_text("\n".join(line for line in lines if not line.startswith(NEWER)))
    assert read_thresholds(tmp_path, "m-p1", "abc") == LEVELS


@pytest.mark.parametrize(("model", "references"), [("m-p2", "abc"), ("m-p1", "abd")])
def test_thresholds_of_another_model_or_other_captions_claim_nothing(
    tmp_path: Path, model: str, references: str, caplog: pytest.LogCaptureFixture
) -> None:
    write_thresholds(tmp_path, "m-p1", "abc", LEVELS)
    assert read_thresholds(tmp_path, model, references) is None
    assert "m-p1 with references abc" in caplog.text


@pytest.mark.parametrize("text", ["", "strong = [", "strong = 1\nfair = 2\nweak = 3\n", "\0"])
def test_damaged_thresholds_claim_nothing(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    write_thresholds(tmp_path, "m-p1", "abc", LEVELS).write_text(text)
    assert read_thresholds(tmp_path, "m-p1", "abc") is None
    assert "nothing is called a match" in caplog.text


def test_a_flag_in_quotes_is_none(tmp_path: Path) -> None:
    file = write_thresholds(tmp_path, "m-p1", "abc", LEVELS)
    file.write_text(file.read_text().replace("per_spread = true", 'per_spread = "false"'))
    assert read_thresholds(tmp_path, "m-p1", "abc") is None


@pytest.mark.parametrize("name", ["hubness_share = 0.5", "phrase_share = 0"])
@pytest.mark.parametrize("share", ["-0.1", "1.1", "nan", '"0.5"'])
def test_a_share_that_is_none_claims_nothing(tmp_path: Path, name: str, share: str) -> None:
    file = write_thresholds(tmp_path, "m-p1", "abc", LEVELS)
    text = file.read_text()
    file.write_text(text.replace(name, f"{name.split()[0]} = {share}"))
    assert file.read_text() != text
    assert read_thresholds(tmp_path, "m-p1", "abc") is None


def test_without_a_file_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read_thresholds(tmp_path, "m-p1", "abc") is None
    assert not caplog.records
