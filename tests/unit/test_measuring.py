"""Figures of a model on a captioned set, held against a second computation in plain Python."""

from __future__ import annotations

import json
import random
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.ranking import References
from imagesearch.evaluation import protocol
from imagesearch.evaluation.comparison import compare
from imagesearch.evaluation.forms import read_captioned
from imagesearch.evaluation.measuring import figures_of, measure
from imagesearch.evaluation.runs import Figure, Found, Run, as_json, read_runs
from imagesearch.ports import ImageEmbedding
from tests.world import TwinEncoder, World, original

PICTURES = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return pictures with captions in two languages, of which most are another picture's bytes."""
    path = tmp_path_factory.mktemp("captioned")
    rng = random.Random(4)
    for number in range(PICTURES):
        (path / f"{number:02}.jpg").write_bytes(original(f"twin-{number}"))
        # The twins' model knows a text by its very words: some captions are right ones.
        own = f"twin-{number}" if rng.random() < 0.4 else f"no twin {number}"
        (path / f"{number:02}.txt").write_text(f"{own}\nsomething {number % 20}\n")
        if number % 3:
            (path / f"{number:02}.de.txt").write_text(f"Bild {number}\n")
    return path


def measured(folder: Path, revision: str = "twin-1") -> Run:
    encoder = TwinEncoder(revision)
    return measure(encoder, read_captioned(folder), "set", "twin", lambda *_: None)


run_of = cache(measured)


def plain_ranks(folder: Path, language: str) -> tuple[list[list[int]], list[list[int]], list[int]]:
    """Return by picture captions' ranks, as searched and by cosine, and that of its own."""
    encoder = TwinEncoder("twin-1")
    captioned = read_captioned(folder)
    outcomes = encoder.encode_images([each.read() for each in captioned.pictures])
    images = [
        outcome.vector.astype(np.float16).astype(float)
        for outcome in outcomes
        if isinstance(outcome, ImageEmbedding)
    ]
    references = encoder.references.embeddings.astype(float)

    def dot(left: object, right: object) -> float:
        return sum(a * b for a, b in zip(left, right, strict=True))  # type: ignore[call-overload]

    hubness = [
        sum(sorted((dot(image, each) for each in references), reverse=True)[:16]) / 16
        for image in images
    ]
    own = [
        [each.text for each in picture.captions if each.language == language]
        for picture in captioned.pictures
    ]
    texts = {text: encoder.encode_text(text).vector.astype(float) for some in own for text in some}
    searched, cosine, of_captions = [], [], []
    for row, some in enumerate(own):
        scores = [[dot(texts[text], image) for image in images] for text in some]
        cosine.append([1 + sum(each > of[row] for each in of) for of in scores])
        lowered = [[s - h / 2 for s, h in zip(of, hubness, strict=True)] for of in scores]
        searched.append([1 + sum(each > of[row] for each in of) for of in lowered])
        best = max((dot(texts[text], images[row]) for text in some), default=None)
        if best is not None:
            others = (
                dot(vector, images[row]) for text, vector in texts.items() if text not in some
            )
            of_captions.append(1 + sum(other >= best for other in others))
    return searched, cosine, of_captions


@pytest.mark.parametrize(("place", "language"), [(0, ""), (1, "de")])
def test_recalls_are_those_of_plain_loops(folder: Path, place: int, language: str) -> None:
    figures = run_of(folder).figures[place]
    searched, cosine, of_captions = plain_ranks(folder, language)
    assert figures.language == language
    assert figures.captions == sum(map(len, searched))
    assert figures.pictures == len(of_captions)
    plain_of: dict[Found, list[int]] = {
        "picture": [*chain(*searched)],
        "picture by cosine": [*chain(*cosine)],
        "caption": of_captions,
    }
    for found, ranks in plain_of.items():
        plain = [sum(rank <= k for rank in ranks) / len(ranks) for k in (1, 5, 10)]
        assert [each.value for each in figures.recall[found]] == pytest.approx(plain, abs=1e-6)
    assert figures.recall["picture"][2].value not in (0, 1), "else the test tells nothing"


def test_ranks_are_those_of_a_true_search(tmp_path: Path) -> None:
    """Through fetching, embedding, storing and scoring of the whole program."""
    world = World(tmp_path)
    world.ready_pool("horse", 40)
    captioned = tmp_path / "set"
    captioned.mkdir()
    for number in range(40):
        (captioned / f"twin-{number}.jpg").write_bytes(original(f"twin-{number}"))
        (captioned / f"twin-{number}.txt").write_text(f"caption {number}")
    run = measure(world.encoder, read_captioned(captioned), "set", "twin", lambda *_: None)
    for picture in run.measured:
        [caption] = picture.captions
        answer = world.ask("horse", query=caption.text, top_k=40, fold=False)
        ids = [hit.image.image_id for hit in answer.hits or ()]
        assert ids.index(picture.name.removesuffix(".jpg")) + 1 == caption.rank


def test_a_tie_counts_against_the_model() -> None:
    same = np.ones((4, 1), np.float32)
    assert protocol.ranks(same[:1], same, [[2]]).tolist() == [4]
    assert protocol.ranks(same[:1], same, [[1, 2]]).tolist() == [3], "its own are no rivals"


def test_a_model_that_tells_nothing_apart_finds_nothing(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}.jpg").write_bytes(original("all the same"))
        (tmp_path / f"{number}.txt").write_text(f"caption {number}")
    [figures] = run_of(tmp_path).figures
    assert [each.value for each in figures.recall["picture"]] == [0, 0, 0]
    assert figures.no_match.value == 0.5


def test_the_auroc_of_no_match_is_that_of_plain_loops(folder: Path) -> None:
    run = run_of(folder)
    pairs = [
        (caption.strength, caption.strength_without)
        for picture in run.measured
        for caption in picture.captions
        if caption.language == "de"
    ]
    wins = [(a > b) + (a == b) / 2 for a, _ in pairs for _, b in pairs]  # type: ignore[operator]
    assert run.figures[1].no_match.value == pytest.approx(sum(wins) / len(wins), abs=1e-6)
    assert all(a >= b for a, b in pairs)  # type: ignore[operator]


def test_strengths_without_are_those_of_the_best_other_picture(folder: Path) -> None:
    encoder = TwinEncoder("twin-1")
    pictures = read_captioned(folder).pictures
    outcomes = encoder.encode_images([each.read() for each in pictures])
    vectors = [each.vector for each in outcomes if isinstance(each, ImageEmbedding)]
    images = np.array(vectors).astype(np.float16).astype(np.float32)
    halved = encoder.references.hubness(images) / np.float32(2)
    for row, picture in enumerate(run_of(folder).measured):
        for caption in picture.captions:
            if not caption.text.startswith("something"):  # of this picture alone
                text = encoder.encode_text(caption.text).vector
                strengths = encoder.references.strengths(
                    text, images @ text - halved, per_spread=True
                )
                others = float(np.delete(strengths, row).max())
                assert caption.strength_without == pytest.approx(others, abs=1e-5)
                assert caption.strength == pytest.approx(float(strengths.max()), abs=1e-5)


def test_strengths_are_of_phrases_too_where_thresholds_are() -> None:
    rng = np.random.default_rng(3)
    images, texts = rng.normal(size=(9, 8)), rng.normal(size=(4, 8))
    phrases = [rng.normal(size=(count, 8)).astype(np.float32) for count in (2, 0, 1, 3)]
    references = References(rng.normal(size=(5, 8)).astype(np.float32))
    best = protocol.best_strengths(
        *(images.astype(np.float32), texts.astype(np.float32), [{0}, {1}, {2}, {3}], references),
        per_spread=False,
        share=0.0,
        phrases=phrases,
        phrase_share=0.25,
    )
    for row, apart in enumerate(phrases):
        strengths = images @ texts[row]
        if len(apart):
            strengths = 0.75 * strengths + 0.25 * (images @ apart.T).min(axis=1)
        others = np.delete(strengths, row).max()
        assert best[row].tolist() == pytest.approx([max(strengths[row], others), others], abs=1e-5)


def test_an_auroc_may_weigh_its_searches() -> None:
    positive, negative = np.array([1, 2], np.float32), np.array([0, 2], np.float32)
    weights = (np.array([3.0, 1.0]), np.array([1.0, 2.0]))
    repeated = protocol.auroc(np.array([1, 1, 1, 2], np.float32), np.array([0, 2, 2], np.float32))
    assert protocol.auroc(positive, negative, weights) == pytest.approx(repeated)


def test_intervals_are_those_of_pictures_drawn_anew() -> None:
    """By the standard error of a mean, where each picture has one search of its own."""
    hits = np.arange(400) < 100
    resamples = protocol.resampled(400, lambda weights: [(weights * hits).sum() / weights.sum()])
    [(low, high)] = protocol.intervals(resamples)
    error = 1.96 * (0.25 * 0.75 / 400) ** 0.5
    assert (low, high) == pytest.approx((0.25 - error, 0.25 + error), abs=0.006)


def test_captions_of_one_picture_are_drawn_together() -> None:
    """Of ten captions that are all right or all wrong an interval is no narrower than of one."""
    owners = np.repeat(np.arange(50), 10)
    ranks = np.where(owners % 2, 1, 99)
    many = protocol.resampled(50, lambda weights: protocol.recalls(ranks, weights[owners]))
    one = protocol.resampled(50, lambda weights: protocol.recalls(ranks[::10], weights))
    assert protocol.intervals(many) == protocol.intervals(one)


def test_a_run_is_the_same_each_time_and_through_json(folder: Path, tmp_path: Path) -> None:
    run = run_of(folder)
    assert measured(folder) == run
    file = tmp_path / "run.json"
    file.write_text(json.dumps(as_json([run])))
    assert read_runs(file) == [run]
    assert figures_of(read_runs(file)[0].measured) == run.figures


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Invalid JSON"),
        ("{}", "schema_version"),
        ('{"schema_version": 2, "runs": []}', r"schema_version: Input should be 1"),
        ('{"schema_version": 1, "runs": [{}]}', r"runs\.0\.model"),
    ],
)
def test_a_file_that_is_no_run_is_named(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "run.json"
    file.write_text(text)
    with pytest.raises(InvalidRequest, match=rf"run\.json is no output .*{reason}"):
        read_runs(file)
    with pytest.raises(InvalidRequest, match=r"none\.json cannot be read"):
        read_runs(tmp_path / "none.json")


def test_the_worst_misses_are_those_of_the_highest_rank(folder: Path) -> None:
    run = run_of(folder)
    ranks = [miss.rank for miss in run.misses]
    assert ranks == sorted(ranks, reverse=True)
    assert len({miss.picture for miss in run.misses}) == len(run.misses) == 24
    shared = {f"something {number}" for number in range(10)}
    assert not shared & {miss.text for miss in run.misses}
    assert ranks[0] == max(
        caption.rank
        for picture in run.measured
        for caption in picture.captions
        if caption.text not in shared
    )
    assert run.shared_captions == 10


def test_what_cannot_be_used_is_counted_and_the_rest_is_measured(tmp_path: Path) -> None:
    for name in ("a", "b", "gone"):
        (tmp_path / f"{name}.jpg").write_bytes(original(name))
        (tmp_path / f"{name}.txt").write_text(name)
    (tmp_path / "b.jpg").write_bytes(b"GIF89a")
    captioned = read_captioned(tmp_path)
    (tmp_path / "gone.jpg").unlink()
    run = measure(TwinEncoder(), captioned, "set", "twin", lambda *_: None)
    assert [picture.name for picture in run.measured] == ["a.jpg"]
    assert [*map(str, run.misfits)] == [
        "pictures that cannot be used: 2 (gone.jpg: No such file or directory, b.jpg: not an image)"
    ]
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(
        InvalidRequest, match="not one picture can be used: pictures that cannot be used: 3"
    ):
        measure(TwinEncoder(), captioned, "set", "twin", lambda *_: None)


def test_a_run_does_not_differ_from_itself(folder: Path) -> None:
    run = run_of(folder)
    comparison = compare(run, run)
    differences = [each for some in comparison.by_language.values() for each in some]
    assert {(each.value, each.low, each.high) for each in differences} == {(0, 0, 0)}
    assert not any(each.is_clear for each in differences)
    assert (comparison.earlier_only, comparison.later_only) == (0, 0)


def test_differences_are_of_the_same_pictures(folder: Path) -> None:
    earlier, later = run_of(folder), run_of(folder, "twin-2")
    comparison = compare(earlier, later)
    assert [*comparison.by_language] == ["", "de"]
    for figures, others in zip(earlier.figures, later.figures, strict=True):
        differences = comparison.by_language[figures.language]
        before, after = (
            np.array([each.value for some in run.recall.values() for each in some], float)
            for run in (figures, others)
        )
        values = [each.value for each in differences[:-1]]
        assert values == pytest.approx((after - before).tolist(), abs=2e-6)
        assert all(each.low <= each.value <= each.high for each in differences)


def test_paired_intervals_are_narrower_than_two_apart(folder: Path) -> None:
    """The same pictures are hard for both: a run that is better on one alone is clearly better."""
    earlier = run_of(folder)
    later = read_back(earlier)
    for picture in later.measured:
        for index, caption in enumerate(picture.captions):
            raw = {**vars(caption), "rank": max(1, caption.rank - 5)}
            picture.captions[index] = type(caption)(**raw)
    difference = compare(earlier, later).by_language[""][1]

    def width(figure: Figure) -> float:
        assert figure.low is not None
        assert figure.high is not None
        return figure.high - figure.low

    assert difference.is_clear
    assert difference.value > 0
    assert difference.high - difference.low < width(earlier.figures[0].recall["picture"][1])


def read_back(run: Run) -> Run:
    return TypeAdapter(Run).validate_python(as_json([run])["runs"][0])


def test_runs_of_other_pictures_are_compared_by_what_they_share(
    folder: Path, tmp_path: Path
) -> None:
    some = tmp_path / "some"
    some.mkdir()
    for number in range(10):
        for end in ("jpg", "txt"):
            name = f"{number:02}.{end}"
            (some / name).write_bytes((folder / name).read_bytes())
    comparison = compare(run_of(folder), run_of(some))
    assert comparison.captions == 20
    assert (comparison.earlier_only, comparison.later_only) == (60, 0)
    assert (comparison.earlier_pictures, comparison.later_pictures) == (30, 10)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.jpg").write_bytes(original("x"))
    (tmp_path / "other" / "x.txt").write_text("x")
    with pytest.raises(InvalidRequest, match="no caption of a picture in common"):
        compare(run_of(folder), run_of(tmp_path / "other"))
