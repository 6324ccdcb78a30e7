"""What `imagesearch eval` measured as one HTML page, the worst misses as pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path

from imagesearch.cli.contact_sheet import thumbnail
from imagesearch.cli.run_tables import HOW, shown_figure, what_was_measured
from imagesearch.domain.printable import printable
from imagesearch.evaluation.captions import CaptionedSet
from imagesearch.evaluation.protocol import RECALL_AT
from imagesearch.evaluation.runs import FOUND, Figures, Miss, Run

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --right: #2a9d55; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem } h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; overflow-wrap: anywhere }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .3rem .9rem; border-bottom: 1px solid var(--line) }
th:first-child, td:first-child { text-align: left; padding-left: 0 }
.wide { overflow-x: auto }
.note { color: #777; max-width: 60rem }
.miss { border-top: 1px solid var(--line); padding: 1rem 0 }
.miss h3 { font-size: 1.05rem; font-weight: 600; margin: 0 0 .6rem; overflow-wrap: anywhere }
.pictures { display: grid; gap: .8rem;
  grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)) }
figure { margin: 0 } figcaption { font-size: .85rem; margin-top: .4rem; overflow-wrap: anywhere }
img, .none { width: 100%; aspect-ratio: 4 / 3; border-radius: .3rem; display: block }
.none { background: var(--line) }
.right img, .right .none { outline: 3px solid var(--right); outline-offset: 2px }
"""

Picture = Callable[[str], str]
"""Returns the HTML of the picture of that name."""


def write_page(path: Path, runs: Sequence[Run], captioned: CaptionedSet) -> None:
    """
    Write a page that needs nothing besides itself: pictures are in it, and no script.

    Raises:
        OSError: the file cannot be written.
    """
    reads = {picture.name: picture.read for picture in captioned.pictures}
    images: dict[str, str] = {}

    def picture(name: str) -> str:
        if name not in images:
            images[name] = _image(reads[name])
        return images[name]

    path.write_text(_page(runs, picture), encoding="utf-8")


def _page(runs: Sequence[Run], picture: Picture) -> str:
    title = f"Search on {_shown(runs[0].source)}, measured"
    return "\n".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>",
            f'<p class="note">{_shown(HOW)}</p>',
            *(_run(run, picture) for run in runs),
            "</body></html>\n",
        )
    )


def _run(run: Run, picture: Picture) -> str:
    left_out = "".join(f"<li>Left out: {_shown(str(each))}</li>" for each in run.misfits)
    misses = "".join(_miss(miss, picture) for miss in run.misses)
    return (
        f"<section><h2>{_shown(run.model)} <small>{_shown(run.model_revision)}</small></h2>"
        f"<p>{_shown(what_was_measured(run))}</p>{f'<ul>{left_out}</ul>' if left_out else ''}"
        f"{_table(run.figures)}"
        f"<h2>The worst misses</h2>{misses or '<p>None: each picture came first.</p>'}</section>"
    )


def _table(some: Sequence[Figures]) -> str:
    names = ["found", *(f"R@{k}" for k in RECALL_AT), "no match, AUROC"]
    rows = [
        [
            f"{direction} ({figures.language})" if figures.language else direction,
            *map(shown_figure, figures.recall[direction]),
            shown_figure(figures.no_match, 1, 3) if direction == FOUND[0] else "",
        ]
        for figures in some
        for direction in FOUND
    ]
    body = "".join(_row(row, "td") for row in rows)
    return f'<div class="wide"><table>{_row(names, "th")}{body}</table></div>'


def _row(cells: Iterable[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{_shown(cell)}</{tag}>" for cell in cells) + "</tr>"


def _miss(miss: Miss, picture: Picture) -> str:
    language = f' lang="{_shown(miss.language)}"' if miss.language else ""
    of = _figure(miss.picture, f"its picture, rank {miss.rank}", picture, "right")
    before = (
        _figure(name, f"rank {rank}", picture)
        for rank, name in enumerate(miss.first, start=1)
        if name != miss.picture
    )
    heading = f"<bdi{language}>{_shown(miss.text)}</bdi> {_language(miss.language)}"
    pictures = f'<div class="pictures">{of}{"".join(before)}</div>'
    return f'<div class="miss"><h3>{heading}</h3>{pictures}</div>'


def _figure(name: str, words: str, picture: Picture, kind: str = "") -> str:
    return (
        f'<figure class="{kind}">{picture(name)}'
        f"<figcaption>{words}<br><small>{_shown(name)}</small></figcaption></figure>"
    )


def _image(read: Callable[[], bytes]) -> str:
    data = io.BytesIO()
    try:
        thumbnail(read()).save(data, "JPEG", quality=80)
    except Exception:  # noqa: BLE001 - of a broken picture Pillow raises what it likes
        return '<div class="none"></div>'
    encoded = base64.b64encode(data.getvalue()).decode()
    return f'<img alt="" src="data:image/jpeg;base64,{encoded}">'


def _language(language: str) -> str:
    return f"({_shown(language)})" if language else ""


def _shown(text: str) -> str:
    return escape(printable(text))
