"""An answer as `imagesearch search` prints it."""

from __future__ import annotations

import math
from typing import Any

from rich.table import Table
from rich.text import Text

from imagesearch.cli.client import ToldCollection
from imagesearch.cli.terminal import err, link, out, shown

# An uncalibrated model claims nothing.
_MATCHES = {
    "strong": Text("strong", "green"),
    "fair": Text("fair", "cyan"),
    "weak": Text("weak", "yellow"),
    "none": Text("none", "dim"),
}


def print_table(
    answer: dict[str, Any],
    schemes: tuple[str, ...],
    first: int,
    *,
    is_keyword_given: bool,
    collection: ToldCollection | None = None,
) -> None:
    """
    Print *answer*, its hits numbered from *first* on.

    Args:
        schemes: of the URLs that may be linked to.
        is_keyword_given: else those that were taken from the sentence are told.
        collection: the one that was searched, as far as that is told.
    """
    if answer["pool"] and not is_keyword_given:
        keywords = " and ".join(repr(keyword) for keyword in answer.get("keywords", ()))
        err.print(shown(f"Keywords taken from the sentence: {keywords}."))
    if not answer["results"]:
        out.print(shown(_nothing(answer, collection)))
        return
    if answer.get("matched") is False:
        what = repr(answer["query"]) if answer["query"] else "that"
        out.print(shown(f"Nothing here shows {what}. The nearest are these:"))
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("", "match", "score", "image", "shows", "by"):
        table.add_column(name, justify="right" if name in ("", "score") else "left")
    for rank, result in enumerate(answer["results"], start=first):
        table.add_row(*_row(rank, result, schemes))
    out.print(table)
    out.print(_summary(answer, collection))


def name_of(result: dict[str, Any]) -> str:
    """Return what an image is called: an own picture by its file, any other one by its id."""
    own = result.get("own")
    return str(own["file"] if own else result["image_id"])


def _nothing(answer: dict[str, Any], collection: ToldCollection | None) -> str:
    filters = _filters(answer)
    name = answer.get("filters", {}).get("collection")
    if name and not answer["pool"]:
        if collection is None:
            return f"No collection {name!r} is there: imagesearch collections prints them."
        if filters:
            return f"None of the {collection.images:,} pictures of {collection.name} has {filters}."
        return f"{collection.name} has no picture yet."
    if not answer["pool"]:
        return f"Nothing that is stored has {filters}." if filters else "Nothing is stored so far."
    keywords = [repr(keyword) for keyword in answer.get("keywords") or [answer["keyword"]]]
    if filters and answer["pool"]["embedded"]:
        # The pool is the last keyword's.
        count = f"{answer['pool']['embedded']} images" if len(keywords) == 1 else "images"
        return f"None of the {count} for {' and '.join(keywords)} has {filters}."
    return f"Nothing found for {', nor for '.join(keywords)}."


def _filters(answer: dict[str, Any]) -> str:
    """Return the filters in words, but for the collection."""
    filters = answer.get("filters", {}).items()
    return " and ".join(f"{name} {value}" for name, value in filters if name != "collection")


def _row(rank: int, result: dict[str, Any], schemes: tuple[str, ...]) -> tuple[str | Text, ...]:
    return (
        str(rank),
        _MATCHES.get(result.get("match", ""), Text("")),
        f"{result['score']:.3f}",
        _image(result, schemes),
        shown(", ".join(_shows(result))),
        _credit(result),
    )


def _shows(result: dict[str, Any]) -> list[str]:
    title = (result.get("own") or {"title": ""})["title"]
    return [*filter(None, [title]), *result["tags"]]


def _credit(result: dict[str, Any]) -> Text:
    """Return whom an image is by, and under which licence where its source names one."""
    credit = result["credit"]
    by = link(credit["user"], result["page_url"])
    licence = credit.get("licence", "")
    return by + ", " + link(licence, credit.get("licence_url", "")) if licence else by


def _image(result: dict[str, Any], schemes: tuple[str, ...]) -> Text:
    """Return the link to an image, and how many more look the same; an older server says none."""
    similar = len(result.get("similar", ()))
    more = f"  +{similar} similar" if similar else ""
    return Text.assemble(link(name_of(result), result["url"], schemes), (more, "dim"))


def _summary(answer: dict[str, Any], collection: ToldCollection | None) -> Text:
    milliseconds = answer["timings"]["total_seconds"] * 1000
    lines = [f"{_searched(answer, collection)} searched in {milliseconds:.0f} ms."]
    if collection is not None and collection.updating:
        lines.append(f"{shown(collection.name)} is not up to date yet.")
    if not answer["complete"]:
        lines.append(_missing(answer))
    if answer.get("restarted"):
        lines.append("The images have changed since: these are the first again.")
    if answer.get("next"):
        lines.append(f"The next ones: --more {answer['next']}")
    if answer["query_truncated"]:
        lines.append("The query was cut to what the model reads.")
    return Text("\n".join(lines), "dim")


def _searched(answer: dict[str, Any], collection: ToldCollection | None) -> str:
    if collection is not None and not answer["pool"]:
        pictures = f"{collection.images:,} pictures of {shown(collection.name)}"
        filters = _filters(answer)
        return f"Of {pictures} those with {shown(filters)} were" if filters else pictures
    if not answer["pool"]:
        return "All that is stored was"
    sources = dict.fromkeys(hit["credit"]["source"] for hit in answer["results"])
    source = shown(" and ".join(sources))
    if len(answer.get("keywords", ())) > 1:  # the pool is one of two
        return f"{answer['matching']} images from {source}"
    images = f"{answer['pool']['embedded']} images from {source}"
    return f"{answer['matching']} of {images} match and were" if answer.get("filters") else images


def _missing(answer: dict[str, Any]) -> str:
    pool = answer["pool"]
    if pool is None:
        covered = answer.get("covered")  # an older server has none
        share = "Not all" if covered is None else f"{math.floor(100 * covered)} %"
        return f"{share} of it was compared; the rest waits for a new model."
    missing = max(0, pool["images"] - pool["embedded"] - pool["rejected"])
    return f"{missing} more could not be fetched: {shown(pool['reason'] or 'no reason')}."
