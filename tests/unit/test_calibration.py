"""Thresholds come from pictures with captions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.images import Embeddings
from imagesearch.domain.ranking import References
from imagesearch.evaluation.calibration import auroc, calibrate, thresholds_of
from imagesearch.evaluation.captions import read_captioned
from tests.world import TwinEncoder, original

RNG = np.random.default_rng(5)


def units(rows: NDArray[np.floating[Any]]) -> Embeddings:
    unit: Embeddings = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def test_captions_are_of_a_csv(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.jpg"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "captions.csv").write_text(
        'image,caption\nb.jpg,"a bee, close up"\na.jpg,an apple\nb.jpg,a wing\nb.jpg,a wing\n'
    )
    pictures = read_captioned(tmp_path)
    assert [(each.path.name, each.captions) for each in pictures] == [
        ("a.jpg", ("an apple",)),
        ("b.jpg", ("a bee, close up", "a wing")),
    ]


def test_captions_are_in_text_files_beside_the_pictures(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "alone.webp"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "a.txt").write_text("\ufeffan apple\n\n  a fruit \n", encoding="utf-8")
    (tmp_path / "b.txt").write_text("a bee")
    (tmp_path / "notes.txt").write_text("nothing")
    pictures = read_captioned(tmp_path)
    assert [(each.path.name, each.captions) for each in pictures] == [
        ("a.png", ("an apple", "a fruit")),
        ("b.JPG", ("a bee",)),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("file,words\na.jpg,x\n", "first line must be image,caption"),
        ("image,caption\nnone.jpg,x\n", "line 2: no file 'none.jpg'"),
        ("image,caption\na.jpg,\n", "line 2: no caption"),
        ("image,caption\na.jpg\n", "line 2: no caption"),
        ("image,caption\n,x\n", "line 2: no file ''"),
        ("image,caption\n", "holds neither"),
        ("", "first line must be image,caption"),
        ("image,caption\na.jpg,\xff\n", "cannot be read"),
    ],
)
def test_a_bad_csv_is_refused_with_its_line(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "captions.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidRequest, match=reason):
        read_captioned(tmp_path)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="there is no folder"):
        read_captioned(tmp_path / "none")


def test_where_captions_tell_pictures_apart_all_without_an_answer_are_refused() -> None:
    images = units(RNG.normal(size=(300, 64)))
    texts = units(images + 0.05 * RNG.normal(size=images.shape))
    calibration = thresholds_of(
        images, texts, [{row} for row in range(300)], References(units(RNG.normal(size=(50, 64))))
    )
    assert calibration.searches == 300
    assert calibration.auroc > 0.999
    assert calibration.refused == 1.0
    levels = calibration.thresholds
    assert levels.strong >= levels.fair > levels.weak > 0


def test_where_they_tell_nothing_it_is_said() -> None:
    images, texts = units(RNG.normal(size=(300, 64))), units(RNG.normal(size=(300, 64)))
    calibration = thresholds_of(
        images, texts, [{row} for row in range(300)], References(images[:0])
    )
    assert calibration.auroc == pytest.approx(0.5, abs=0.05)
    assert calibration.refused < 0.15


def test_what_a_caption_is_true_of_counts_as_no_wrong_answer() -> None:
    images = units(RNG.normal(size=(150, 64)))
    images[100:] = images[0]
    same = {0, *range(100, 150)}
    calibration = thresholds_of(images, images[:1], [same], References(images[:0]))
    assert calibration.auroc == 1.0


def test_too_few_pictures_say_nothing() -> None:
    images = units(RNG.normal(size=(99, 8)))
    with pytest.raises(InvalidRequest, match=r"at least 100 pictures.*got 99"):
        thresholds_of(images, images, [{row} for row in range(99)], References(images[:0]))


def test_captions_that_are_true_of_all_say_nothing() -> None:
    images = units(RNG.normal(size=(100, 8)))
    with pytest.raises(InvalidRequest, match="true of every picture"):
        thresholds_of(images, images[:1], [set(range(100))], References(images[:0]))


def test_pictures_are_measured_with_the_model(tmp_path: Path) -> None:
    for number in range(120):
        (tmp_path / f"{number}.jpg").write_bytes(original(f"twin-{number}"))
        (tmp_path / f"{number}.txt").write_text(f"caption {number}")
    seen: list[int] = []
    encoder = TwinEncoder()
    calibration = calibrate(encoder, read_captioned(tmp_path), seen.append)
    assert (calibration.pictures, calibration.searches) == (120, 120)
    assert (encoder.images, encoder.texts) == (120, 120)
    assert seen == [64, 120]


def test_a_picture_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"nothing")
    (tmp_path / "a.txt").write_text("an apple")
    with pytest.raises(InvalidRequest, match=r"a\.jpg: not an image"):
        calibrate(TwinEncoder(), read_captioned(tmp_path), lambda _: None)


def test_auroc_is_how_often_one_is_above_the_other() -> None:
    positive, negative = np.array([1, 2, 3], np.float32), np.array([0, 2], np.float32)
    plain = np.mean([(p > n) + (p == n) / 2 for p in positive for n in negative])
    assert auroc(positive, negative) == pytest.approx(plain)
