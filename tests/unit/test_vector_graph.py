"""The graph beside the scan: when it answers, what it finds, and what it must not disturb."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest

from imagesearch.adapters.vector_graph import (
    CHECK_EVERY,
    CHECKS,
    LARGEST_VIEW,
    RECALL,
    VIEW,
    Piece,
    VectorGraph,
)
from imagesearch.adapters.vector_index import GRAPH_ROWS, VectorIndex
from imagesearch.domain.errors import Bug
from imagesearch.domain.images import Embedding, Embeddings
from tests.unit.test_vector_index import DIM, normal, unit

BLOCK = 2048  # rows in a block of an index
ROWS = 5000  # two full ones, and the beginning of another
K = 10


def clustered(rows: int, seed: int) -> Embeddings:
    """Pictures of some hundred kinds, as those of a catalog are."""
    kinds = normal(100, seed=9)
    chosen = np.random.default_rng(seed).integers(0, len(kinds), rows)
    return unit(kinds[chosen] + 0.7 * normal(rows, seed))


IMAGES = clustered(ROWS, seed=0)
QUERIES = clustered(2 * CHECKS, seed=1)


def nearest(query: Embedding, k: int = K, rows: int = ROWS) -> list[int]:
    return [int(row) for row in np.argsort(-(IMAGES[:rows] @ query), kind="stable")[:k]]


def build(rows: int, graph_rows: int = GRAPH_ROWS) -> VectorIndex:
    index = VectorIndex(graph_rows, BLOCK)
    for start in range(0, rows, 600):
        some = IMAGES[start : min(start + 600, rows)]
        index.extend(range(start, start + len(some)), some)
    return index


def graph_of(index: VectorIndex) -> VectorGraph:
    """Return a graph of all full blocks of *index*, built without waiting for idle cores."""
    graph = index._graph = VectorGraph(DIM, 1.0, index._full_block)
    graph.build()
    return graph


def known_graph(index: VectorIndex) -> VectorGraph:
    assert index._graph is not None
    return index._graph


@pytest.fixture(scope="module")
def built() -> Iterator[VectorIndex]:
    with closing(build(ROWS)) as index:
        assert graph_of(index).blocks == 2
        yield index


@pytest.fixture
def index(built: VectorIndex) -> VectorIndex:
    """An index whose graph has yet to show what it finds."""
    graph = known_graph(built)
    graph._recalls.clear()
    graph._asked, graph.view, graph.is_relied_on = 0, VIEW, False
    return built


def prove(index: VectorIndex) -> None:
    for query in QUERIES[:CHECKS]:
        assert index.likely(query, K) is None
        index.check(query, nearest(query, rows=len(index)))


def test_a_catalog_of_few_is_scanned() -> None:
    with closing(build(ROWS)) as index:
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
        f"a graph answers for {ROWS} embeddings now, {VIEW} rows in view: recall {index.recall:.3f}"
    ]
    found = right = 0
    for query in QUERIES[CHECKS:]:
        if likely := index.likely(query, K):
            assert len(set(likely)) == len(likely)
            found += 1
            right += len(set(likely) & set(nearest(query)))
    assert found >= 0.9 * CHECKS
    assert right / (K * found) >= RECALL


def test_rows_of_each_block_are_found_and_those_that_the_graph_lacks(index: VectorIndex) -> None:
    prove(index)
    for number in (0, BLOCK - 1, BLOCK, 2 * BLOCK - 1, 2 * BLOCK, ROWS - 1):
        found = index.likely(IMAGES[number], K)
        assert found is not None
        assert len(set(found)) == len(found)
        assert len(set(nearest(IMAGES[number])) & set(found)) >= K - 1


def test_few_rows_are_left_to_be_read(index: VectorIndex) -> None:
    prove(index)
    assert K <= len(index.likely(QUERIES[0], K) or []) < 400


def test_one_answer_in_so_many_is_exact_and_checks_the_graph(index: VectorIndex) -> None:
    prove(index)
    exact = [index.likely(QUERIES[0], 1) is None for _ in range(2 * CHECK_EVERY)]
    assert exact.count(True) == 2


def test_a_graph_that_misses_gets_more_into_view_before_it_is_relied_on_again(
    index: VectorIndex, caplog: pytest.LogCaptureFixture
) -> None:
    prove(index)
    somewhere_else = [int(row) for row in np.argsort(IMAGES @ QUERIES[0])[:K]]
    with caplog.at_level("INFO"):
        for _ in range(4):  # of CHECKS: a recall of 0.96
            index.check(QUERIES[0], somewhere_else)
        assert index.likely(QUERIES[0], K) is None
        prove(index)
    assert caplog.messages == [
        f"the scan answers for {ROWS} embeddings again: its graph misses",
        f"a graph answers for {ROWS} embeddings now, {2 * VIEW} rows in view:"
        f" recall {index.recall:.3f}",
    ]


def test_more_is_asked_of_a_graph_before_it_answers_than_after() -> None:
    graph = VectorGraph(DIM, 1.0, lambda _: None)
    half, whole = [1, 3], [1, 2]
    for _ in range(CHECKS):
        assert not graph.take_turn()
        graph.check(half if len(graph._recalls) < 5 else whole, [1, 2])  # 5 of 200 are missed
    assert (graph.is_relied_on, graph.view) == (False, 2 * VIEW)
    for _ in range(CHECKS):
        graph.check(whole, [1, 2])
    for _ in range(6):  # of CHECKS: a recall of 0.97
        assert graph.is_relied_on
        graph.check(half, [1, 2])
    assert graph.is_relied_on
    graph.check(half, [1, 2])
    assert (graph.is_relied_on, graph.view) == (False, 4 * VIEW)


def test_a_graph_that_misses_with_all_in_view_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    with closing(build(BLOCK + 1)) as index:
        graph = graph_of(index)
        while graph.view < LARGEST_VIEW:
            graph.check([], [1])
        for _ in range(CHECKS):
            assert index._graph is graph
            assert index.likely(QUERIES[0], K) is None
            graph.check([], [1])
        for _ in range(2):
            assert index.likely(QUERIES[0], K) is None
        assert index._graph is None
    assert caplog.messages == [f"the graph of {BLOCK + 1} embeddings is given up"]


def test_a_graph_that_cannot_be_built_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    with closing(build(BLOCK + 1, graph_rows=1)) as index:
        index._graph = VectorGraph(DIM + 1, 1.0, index._full_block)  # of another dimension
        assert index.likely(QUERIES[0], K) is None  # which has it built behind
        index._graph.join()
        for _ in range(2):
            assert index.likely(QUERIES[0], K) is None
            index.check(QUERIES[0], nearest(QUERIES[0]))
        assert index._graph is None
        assert len(index.candidates(QUERIES[0], K)) >= K
    assert caplog.messages == [
        "a graph of 0 embeddings could not be added to",
        f"the graph of {BLOCK + 1} embeddings is given up",
    ]


def test_a_graph_is_begun_where_full_blocks_hold_enough_rows() -> None:
    for graph_rows, is_begun in ((BLOCK, True), (BLOCK + 1, False)):
        with closing(build(BLOCK + 1, graph_rows)) as index:
            assert index.likely(QUERIES[0], K) is None
            assert (index._graph is not None) == is_begun
            named = [one for one in threading.enumerate() if one.name == "vector-graph"]
            assert bool(named) == is_begun
        assert not [one for one in threading.enumerate() if one.name == "vector-graph"]


def test_dropped_rows_are_found_no_more_and_the_scan_answers_where_all_near_ones_are() -> None:
    with closing(build(BLOCK + 1)) as index:
        graph = graph_of(index)
        prove(index)
        gone = nearest(IMAGES[5], 3, len(index))
        left = set(nearest(IMAGES[5], K + 3, len(index))) - set(gone)
        index.drop(gone)
        found = index.likely(IMAGES[5], K)
        assert found is not None
        assert not set(found) & set(gone)
        assert len(left & set(found)) >= K - 1
        in_view = graph.nearest(QUERIES[0], 200)
        assert in_view is not None
        index.drop([*in_view.tolist(), BLOCK])
        assert index.likely(QUERIES[0], 200) is None
        assert len(index.candidates(QUERIES[0], 200)) >= 200


def test_rows_dropped_while_it_is_built_do_no_harm() -> None:
    with closing(build(BLOCK + 1)) as index:

        def block(number: int) -> Iterator[Piece] | None:
            pieces = index._full_block(number)
            index.drop([5, 6])
            return pieces

        graph = VectorGraph(DIM, 1.0, block)
        graph.build()
        for number in (5, 6):
            found = index._by_graph(graph, IMAGES[number], K)
            assert found is not None
            assert len(found) >= K
            assert not {5, 6} & set(found)


def test_nobody_waits_while_rows_are_added(index: VectorIndex) -> None:
    prove(index)
    with known_graph(index)._using:
        assert index.likely(QUERIES[0], K) is None
        index.check(QUERIES[0], nearest(QUERIES[0]))
    assert index.likely(QUERIES[0], K)


def test_closing_does_not_wait_for_the_whole_graph() -> None:
    begun = threading.Event()

    def block(_: int) -> Iterator[Piece]:
        for number in range(100_000):
            yield np.arange(256) + 256 * number, unit(normal(256))
            begun.set()

    graph = VectorGraph(DIM, 1.0, block)
    graph.build_behind()
    assert begun.wait(60)
    graph.close()
    assert graph.blocks == 0
    assert not [one for one in threading.enumerate() if one.name == "vector-graph"]


def test_an_index_begun_anew_has_no_graph_of_the_rows_before() -> None:
    with closing(build(BLOCK + 1)) as index:
        graph_of(index)
        prove(index)
        index.clear()
        index.extend([1], IMAGES[:1])
        assert index.likely(IMAGES[0], 1) is None
        assert index.candidates(IMAGES[0], 1) == [1]


def test_a_query_of_another_dimension_is_a_bug_with_a_graph_too(index: VectorIndex) -> None:
    prove(index)
    with pytest.raises(Bug, match=r"\(32,\), got \(3,\)"):
        index.likely(np.ones(3, np.float32), K)


def test_a_graph_with_no_rows_finds_none() -> None:
    graph = VectorGraph(DIM, 1.0, lambda _: None)
    for query in (QUERIES[0], np.zeros(DIM, np.float32)):
        found = graph.nearest(query, K)
        assert found is not None
        assert len(found) == 0
