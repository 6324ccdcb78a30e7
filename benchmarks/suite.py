"""All benchmarks, in the order in which they run and are shown; the costs use those before them."""

from __future__ import annotations

from benchmarks import (
    catalog_filters,
    catalog_search,
    cold_start,
    costs,
    image_embedding,
    load,
    near_duplicates,
    new_keyword,
    no_match,
    picture_query,
    redis_bytes,
    scoring,
    service_start,
    siglip,
    text_encoding,
    unlike,
    warm_search,
    without,
)

BENCHMARKS = (
    warm_search.BENCHMARK,
    text_encoding.BENCHMARK,
    image_embedding.BENCHMARK,
    image_embedding.CUDA,
    siglip.BENCHMARK,
    new_keyword.BENCHMARK,
    catalog_search.BENCHMARK,
    catalog_search.GRAPHS_BESIDE,
    catalog_search.MILLION,
    catalog_filters.BENCHMARK,
    scoring.BENCHMARK,
    load.BENCHMARK,
    service_start.BENCHMARK,
    cold_start.BENCHMARK,
    picture_query.BENCHMARK,
    redis_bytes.BENCHMARK,
    no_match.BENCHMARK,
    near_duplicates.BENCHMARK,
    without.BENCHMARK,
    unlike.BENCHMARK,
    costs.BENCHMARK,
)
