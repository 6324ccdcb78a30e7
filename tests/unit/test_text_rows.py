"""The texts of a query in one row of the tower: embedded as alone, and as many as a query has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from imagesearch.domain.images import Embeddings
from inference_service.family import Family
from inference_service.model import Model
from inference_service.runtimes.torch import TorchTowers
from inference_service.text_rows import TextRows
from tests.precision import computing_in_float32  # noqa: F401 - a fixture
from tests.unit.test_clip import DEMO_MODEL, on_torch, vectors


def test_the_texts_of_one_query_are_one_row_in_which_none_sees_another() -> None:
    clip = Model.load(DEMO_MODEL, "cpu")
    texts = ["two horses in the snow", "horse", "", "snow", "horse"]
    tokens = clip.tokenize(texts)
    row = TextRows.together(tokens.ids, tokens.places)
    assert row.ids.shape == (1, sum(tokens.places + 1))
    assert len(set(row.places[0].tolist())) == len(texts)
    alone = vectors([clip.embed_texts([text])[0] for text in texts])
    torch_towers = on_torch(DEMO_MODEL).towers
    assert isinstance(torch_towers, TorchTowers)
    with torch.inference_mode():
        by_torch = unit_rows(clip.family, torch_towers, row)
    np.testing.assert_allclose(by_torch, alone, atol=1e-5)
    np.testing.assert_allclose(vectors(clip.embed_texts(texts)), alone, atol=1e-5)


@pytest.mark.parametrize(
    ("texts", "rows"),
    [
        (["a horse"], 1),
        (["a horse in the snow", "horse", "snow"], 1),
        (["a horse in the snow"] * 30, 30),
        (["a " * 58, "a"], 1),  # 63 tokens, with the two around each text
        (["a " * 59, "a"], 2),
        (["horse " * 100, "snow"], 2),
    ],
)
def test_as_many_texts_share_a_row_as_a_query_has(
    texts: list[str], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = Model.load(DEMO_MODEL, "cpu")
    run = clip.towers._text  # type: ignore[attr-defined]
    seen = []

    def noting(ids: NDArray[np.int32], *others: NDArray[Any]) -> Embeddings:
        seen.append(len(ids))
        embeddings: Embeddings = run(ids, *others)
        return embeddings

    monkeypatch.setattr(clip.towers, "_text", noting)
    embedded = clip.embed_texts(texts)
    assert (len(embedded), sum(seen)) == (len(texts), rows)


def unit_rows(family: Family, towers: TorchTowers, rows: TextRows) -> Embeddings:
    sent = TextRows(*(torch.from_numpy(array) for array in rows))
    [embeddings] = family.text(towers._layers, sent).numpy()
    unit: Embeddings = embeddings / np.linalg.norm(embeddings, axis=-1, keepdims=True)
    return unit
