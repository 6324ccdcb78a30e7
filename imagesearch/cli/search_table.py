"""An answer as `imagesearch search` prints it."""

from __future__ import annotations

import math

from rich.table import Table
from rich.text import Text

from imagesearch.cli.terminal import err, link, out, shown
from imagesearch.client import Answer, Collection, Hit

# An uncalibrated model claims nothing.
_MATCHES = {
    "strong": Text("strong", "green"),
    "fair": Text("fair", "cyan"),
    "weak": Text("weak", "yellow"),
    "none": Text("none", "dim"),
}


def print_table(
    answer: Answer,
    schemes: tuple[str, ...],
    first: int,
    *,
    is_keyword_given: bool,
    collection: Collection | None = None,
) -> None:
    """
    Print *answer*, its hits numbered from *first* on.

    Args:
        schemes: of the URLs that may be linked to.
        is_keyword_given: else those that were taken from the sentence are told.
        collection: the one that was searched, as far as that is told.
    """
    if answer.pool and not is_keyword_given:
        keywords = " and ".join(repr(keyword) for keyword in answer.keywords)
        err.print(shown(f"Keywords taken from the sentence: {keywords}."))
    if not answer.results:
        out.print(shown(_nothing(answer, collection)))
        return
    if answer.matched is False:
        what = repr(answer.query) if answer.query else "that"
        out.print(shown(f"Nothing here shows {what}. The nearest are these:"))
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("", "match", "score", "image", "shows", "by"):
        table.add_column(name, justify="right" if name in ("", "score") else "left")
    for rank, hit in enumerate(answer.results, start=first):
        table.add_row(*_row(rank, hit, schemes))
    out.print(table)
    out.print(_summary(answer, collection))


def name_of(hit: Hit) -> str:
    """Return what an image is called: an own picture by its file, any other one by its id."""
    return hit.own.file if hit.own else hit.image_id


def _nothing(answer: Answer, collection: Collection | None) -> str:
    filters = _filters(answer)
    name = answer.filters.get("collection")
    if name and not answer.pool:
        if collection is None:
            return f"No collection {name!r} is there: imagesearch collections prints them."
        if filters:
            return f"None of the {collection.images:,} pictures of {collection.name} has {filters}."
        return f"{collection.name} has no picture yet."
    if not answer.pool:
        return f"Nothing that is stored has {filters}." if filters else "Nothing is stored so far."
    keywords = [repr(keyword) for keyword in answer.keywords or [answer.keyword or ""]]
    if filters and answer.pool.embedded:
        # The pool is the last keyword's.
        count = f"{answer.pool.embedded} images" if len(keywords) == 1 else "images"
        return f"None of the {count} for {' and '.join(keywords)} has {filters}."
    return f"Nothing found for {', nor for '.join(keywords)}."


def _filters(answer: Answer) -> str:
    """Return the filters in words, but for the collection."""
    filters = answer.filters.items()
    return " and ".join(f"{name} {value}" for name, value in filters if name != "collection")


def _row(rank: int, hit: Hit, schemes: tuple[str, ...]) -> tuple[str | Text, ...]:
    return (
        str(rank),
        _MATCHES.get(hit.match, Text("")),
        f"{hit.score:.3f}",
        _image(hit, schemes),
        shown(", ".join(_shows(hit))),
        _credit(hit),
    )


def _shows(hit: Hit) -> list[str]:
    title = hit.own.title if hit.own else ""
    return [*filter(None, [title]), *hit.tags]


def _credit(hit: Hit) -> Text:
    """Return whom an image is by, and under which licence where its source names one."""
    credit = hit.credit
    by = link(credit.user, hit.page_url)
    return by + ", " + link(credit.licence, credit.licence_url) if credit.licence else by


def _image(hit: Hit, schemes: tuple[str, ...]) -> Text:
    """Return the link to an image, and how many more look the same; an older server says none."""
    similar = len(hit.similar)
    more = f"  +{similar} similar" if similar else ""
    return Text.assemble(link(name_of(hit), hit.url, schemes), (more, "dim"))


def _summary(answer: Answer, collection: Collection | None) -> Text:
    milliseconds = answer.timings.total_seconds * 1000
    lines = [f"{_searched(answer, collection)} searched in {milliseconds:.0f} ms."]
    if collection is not None and collection.updating:
        lines.append(f"{shown(collection.name)} is not up to date yet.")
    if not answer.complete:
        lines.append(_missing(answer))
    if answer.restarted:
        lines.append("The images have changed since: these are the first again.")
    if answer.next:
        lines.append(f"The next ones: --more {answer.next}")
    if answer.query_truncated:
        lines.append("The query was cut to what the model reads.")
    return Text("\n".join(lines), "dim")


def _searched(answer: Answer, collection: Collection | None) -> str:
    if collection is not None and not answer.pool:
        pictures = f"{collection.images:,} pictures of {shown(collection.name)}"
        filters = _filters(answer)
        return f"Of {pictures} those with {shown(filters)} were" if filters else pictures
    if not answer.pool:
        return "All that is stored was"
    sources = dict.fromkeys(hit.credit.source for hit in answer.results)
    source = shown(" and ".join(sources))
    if len(answer.keywords) > 1:  # the pool is one of two
        return f"{answer.matching} images from {source}"
    images = f"{answer.pool.embedded} images from {source}"
    return f"{answer.matching} of {images} match and were" if answer.filters else images


def _missing(answer: Answer) -> str:
    pool = answer.pool
    if pool is None:
        covered = answer.covered  # an older server has none
        share = "Not all" if covered is None else f"{math.floor(100 * covered)} %"
        return f"{share} of it was compared; the rest waits for a new model."
    missing = max(0, pool.images - pool.embedded - pool.rejected)
    return f"{missing} more could not be fetched: {shown(pool.reason or 'no reason')}."
