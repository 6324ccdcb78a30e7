"""The graph beside the scan: when it answers, what it finds, and what it must not disturb."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest

from imagesearch.adapters.vector_graph import CHECKS, RECALL, Block, VectorGraph
from imagesearch.adapters.vector_index import GRAPH_ROWS, VectorIndex
from imagesearch.model import Embedding, Embeddings
from tests.unit.test_vector_index import DIM, normal, unit

ROWS = 40_000  # a full block of an index, and the beginning of another
K = 10


def clustered(rows: int, seed: int) -> Embeddings:
    """Pictures of some hundred kinds, as those of a catalog are."""
    kinds = normal(100, seed=9)
    chosen = np.random.default_rng(seed).integers(0, len(kinds), rows)
    return unit(kinds[chosen] + 0.7 * normal(rows, seed))


IMAGES = clustered(ROWS, seed=0)
QUERIES = clustered(3 * CHECKS, seed=1)


def nearest(query: Embedding, k: int = K) -> list[int]:
    return [int(row) for row in np.argsort(-(IMAGES @ query), kind="stable")[:k]]


def build(graph_rows: int) -> VectorIndex:
    index = VectorIndex(graph_rows)
    for start in range(0, ROWS, 4096):
        some = IMAGES[start : start + 4096]
        index.extend(range(start, start + len(some)), some)
    return index


def wait_for_graph(index: VectorIndex) -> None:
    assert index.likely(QUERIES[0], K) is None  # which has it built
    assert index._graph is not None
    index._graph.join()


@pytest.fixture(scope="module")
def built() -> Iterator[VectorIndex]:
    with closing(build(graph_rows=ROWS // 2)) as index:
        wait_for_graph(index)
        yield index


@pytest.fixture
def index(built: VectorIndex) -> VectorIndex:
    """An index whose graph has yet to show what it finds."""
    graph = built._graph
    assert graph is not None
    graph._recalls.clear()
    graph._asked, graph.view = 0, 256
    return built


def prove(index: VectorIndex) -> None:
    for query in QUERIES[:CHECKS]:
        assert index.likely(query, K) is None
        index.check(query, nearest(query))


def test_a_catalog_of_few_is_scanned() -> None:
    with closing(build(GRAPH_ROWS)) as index:
        for query in QUERIES:
            assert index.likely(query, K) is None
            index.check(query, nearest(query))
        assert index.recall == 0
    assert not [one for one in threading.enumerate() if one.name == "vector-graph"]


def test_a_graph_answers_once_exact_answers_have_shown_what_it_finds(
    index: VectorIndex, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        prove(index)
    assert index.recall >= RECALL
    assert caplog.messages == [
        f"a graph answers for {ROWS} embeddings now, 256 rows in view: recall {index.recall:.3f}"
    ]
    found = right = 0
    for query in QUERIES[CHECKS:]:
        if likely := index.likely(query, K):
            found += 1
            right += len(set(likely) & set(nearest(query)))
    assert found >= CHECKS
    assert right / (K * found) >= RECALL


def test_rows_that_the_graph_does_not_have_yet_are_found_by_the_scan(index: VectorIndex) -> None:
    prove(index)
    for number in (0, 32_767, 32_768, ROWS - 1):
        assert number in (index.likely(IMAGES[number], 1) or [])


def test_few_rows_are_left_to_be_read(index: VectorIndex) -> None:
    prove(index)
    assert K <= len(index.likely(QUERIES[0], K) or []) < 400


def test_one_answer_in_so_many_is_exact_and_checks_the_graph(index: VectorIndex) -> None:
    prove(index)
    exact = [index.likely(QUERIES[0], 1) is None for _ in range(2 * CHECKS)]
    assert exact.count(True) == 2


def test_a_graph_that_misses_gets_more_into_view_before_it_is_relied_on_again(
    index: VectorIndex, caplog: pytest.LogCaptureFixture
) -> None:
    prove(index)
    somewhere_else = [int(row) for row in np.argsort(IMAGES @ QUERIES[0])[:K]]
    with caplog.at_level("INFO"):
        index.check(QUERIES[0], somewhere_else)  # none of ten, once in CHECKS
        assert index.likely(QUERIES[0], K) is None
        prove(index)
    assert caplog.messages == [
        f"the scan answers for {ROWS} embeddings again: its graph misses",
        f"a graph answers for {ROWS} embeddings now, 512 rows in view: recall {index.recall:.3f}",
    ]


def test_a_graph_that_goes_on_missing_is_never_relied_on(index: VectorIndex) -> None:
    graph = index._graph
    assert graph is not None
    for _ in range(10 * CHECKS):
        graph.check([], [1])
        assert not graph.take_turn()
    assert graph.view == 4096


def test_a_dropped_row_is_found_no_more() -> None:
    with closing(build(graph_rows=1)) as index:
        index.likely(QUERIES[0], K)
        index.drop([5])  # while it is being built
        wait_for_graph(index)
        prove(index)
        index.drop([17, 5, ROWS - 1])
        for number in (5, 17, ROWS - 1):
            assert number not in (index.likely(IMAGES[number], K) or [number])


def test_nobody_waits_while_rows_are_added(index: VectorIndex) -> None:
    prove(index)
    graph = index._graph
    assert graph is not None
    with graph._using:
        assert index.likely(QUERIES[0], K) is None
        index.check(QUERIES[0], nearest(QUERIES[0]))
    assert index.likely(QUERIES[0], K)


def test_closing_does_not_wait_for_the_whole_graph() -> None:
    blocks: list[Block] = [(np.arange(200_000), unit(normal(200_000)))]
    graph = VectorGraph(DIM, 1.0, lambda number: blocks[number] if number < 1 else None)
    graph.catch_up()
    time.sleep(0.1)
    graph.close()
    assert graph.blocks == 0
    assert not [one for one in threading.enumerate() if one.name == "vector-graph"]


def test_an_index_begun_anew_has_no_graph_of_the_rows_before(index: VectorIndex) -> None:
    with closing(build(graph_rows=1)) as another:
        wait_for_graph(another)
        prove(another)
        another.clear()
        another.extend([1], IMAGES[:1])
        assert another.likely(IMAGES[0], 1) is None
        assert another.candidates(IMAGES[0], 1) == [1]


def test_a_graph_with_no_rows_finds_none() -> None:
    graph = VectorGraph(DIM, 1.0, lambda _: None)
    for query in (QUERIES[0], np.zeros(DIM, np.float32)):
        found = graph.nearest(query, K)
        assert found is not None
        assert len(found) == 0
