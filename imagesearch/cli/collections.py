"""`imagesearch add`, `update`, `remove`, `collections`, `info`: folders and data sets.

Those of the cloud edition are in `buckets.py`; `watch` is in `watch.py`.

A collection is asked for in the catalog; whoever has the data folder brings it up to date: this
process, or an `imagesearch serve` that runs already.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table
from rich.text import Text

from imagesearch.cli import buckets
from imagesearch.cli.local_stack import opened_stack
from imagesearch.cli.options import DEMO_MODEL_NOTE, DataDir, ModelName, filled, settings_with
from imagesearch.cli.terminal import err, out, shown
from imagesearch.cli.updates import SHOWN, changes, named, print_problems, progress, stand_of
from imagesearch.domain.buckets import is_bucket
from imagesearch.domain.collections import Collection, Update, checked_name
from imagesearch.domain.errors import InvalidRequest, NotFound, Unavailable
from imagesearch.domain.filters.declaration import alike
from imagesearch.domain.printable import printable
from imagesearch.folders.folder import NO_MEDIA, SKIPPED_FOLDERS, is_utf8
from imagesearch.ports import Collections
from imagesearch.settings import DEMO_MODEL, Settings
from imagesearch.usecases.moved import moved_to

if TYPE_CHECKING:
    from imagesearch.local.embedded.services import StoredCollections
    from imagesearch.local.embedded.stack import Stack

ADD_EXAMPLES = (
    "Examples:\n\n\b\n"
    "  imagesearch add ~/Pictures\n"
    "  imagesearch add ~/Takeout --name Google\n"
    "  imagesearch add ~/unsplash-lite --name Unsplash\n"
    "  imagesearch add pictures.csv\n"
    '  imagesearch search "a dog in the snow" --collection Pictures\n'
    "  EDITION=cloud GOOGLE_CLOUD_PROJECT=... imagesearch add gs://my-photos/2019\n"
)
_POLL_SECONDS = 0.5
_LOOK_SECONDS = 5.0  # after which it is seen whether the other process is there still

Names = Annotated[
    list[str] | None, typer.Argument(metavar="NAME", parser=filled, help="Collections [all]")
]
Name = Annotated[str, typer.Argument(metavar="NAME", parser=filled, help="The collection")]


def add(
    root: Annotated[
        str,
        typer.Argument(
            metavar="SET",
            parser=filled,
            help="Folder of pictures, with or without captions (COCO's, Flickr's, Karpathy's, a"
            " .txt beside each) or of tar shards, or a .csv, .tsv, .txt or .parquet of URLs; in the"
            " cloud gs://BUCKET/PREFIX",
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", parser=filled, help="What to call it [as SET is called]"),
    ] = None,
    keep_place: Annotated[
        bool | None,
        typer.Option(
            "--keep-place/--no-keep-place", help="Keep where pictures were taken, too [no]"
        ),
    ] = None,
    data_dir: DataDir = None,
    model: ModelName = None,
) -> None:
    """
    Have the pictures of SET searched, and of all within it; nothing in it is written.

    What a list has the URLs of is downloaded into the data folder, over https, two at a time from
    a host, and not what its host asks robots to leave.
    """
    settings, name = settings_with(data_dir=data_dir, clip_model=model), name or ""
    if settings.edition == "cloud":
        buckets.add(settings, root, name, keep_place)
        return
    if is_bucket(root):
        bound = "a bucket is a collection of EDITION cloud, and SET must be a folder or a list here"
        raise InvalidRequest(f"{bound}, got {root[:64]!r}", field="SET")
    with opened(settings) as stored:
        if settings.model == str(DEMO_MODEL):
            err.print(DEMO_MODEL_NOTE)
        before = {each.name for each in stored.collections.all()}
        collection = added(stored, Path(root), name, keep_place, _say)
        _bring_up_to_date(settings, stored.collections, [collection])
        is_empty = not stored.collections.known_files(collection.name, most=1)
        if is_empty and collection.name not in before:
            stored.forget(collection)
            bound = "SET must have pictures that can be read"
            raise InvalidRequest(f"{bound}, got {_what_lies_in(collection.root)}", field="SET")


def update(names: Names = None, data_dir: DataDir = None, model: ModelName = None) -> None:
    """Bring collections up to date with their folders, or buckets."""
    settings = settings_with(data_dir=data_dir, clip_model=model)
    if settings.edition == "cloud":
        buckets.update(settings, names)
        return
    with opened(settings) as stored:
        _bring_up_to_date(settings, stored.collections, named(stored.collections, names))


def remove(name: Name, data_dir: DataDir = None) -> None:
    """Forget the collection NAME; the folder, or bucket, and its pictures stay as they are."""
    settings = settings_with(data_dir=data_dir)
    if settings.edition == "cloud":
        buckets.remove(settings, name)
        return
    with opened(settings) as stored:
        collection = named(stored.collections, [name])[0]
        gone = stored.forget(collection)
    out.print(shown(f"{name}: {gone} images are forgotten; {collection.root} is as it was."))


def collections(data_dir: DataDir = None) -> None:
    """Print the collections."""
    settings = settings_with(data_dir=data_dir)
    with _kept(settings) as kept:
        counts = kept.counts()
        if not counts:
            out.print("There is no collection yet: imagesearch add SET makes one.")
            return
        columns = ["pictures", "images", "problems"]
        if settings.edition == "cloud":  # where nobody counts the different ones
            columns.remove("images")
        if any(each.taken_down for each in counts):
            columns.append("taken_down")
        table = Table(box=None, header_style="bold", pad_edge=False)
        for title in ("name", *columns, "set"):
            justify: Literal["left", "right"] = "right" if title in columns else "left"
            # A path that is cut is none: it goes on in the next line.
            table.add_column(title.replace("_", " "), justify=justify, overflow="fold")
        roots = {each.name: each.root for each in kept.all()}
        for each in counts:
            counted = (f"{getattr(each, column):,}" for column in columns)
            table.add_row(shown(each.name), *counted, shown(roots.get(each.name, "")))
        out.print(table)


def info(name: Name, data_dir: DataDir = None) -> None:
    """Print what is known of the collection NAME, and what of it could not be read."""
    settings = settings_with(data_dir=data_dir)
    with _kept(settings) as kept:
        collection = named(kept, [name])[0]
        count = next(each for each in kept.counts() if each.name == name)
        last = kept.last_update(name)
        different = f", {count.images:,} different ones" if settings.edition == "embedded" else ""
        lines = [
            f"{name}: {count.pictures:,} pictures{different}",
            f"It is {collection.root}",
            f"Places are {'kept' if collection.keeps_place else 'not kept'}.",
            stand_of(last),
        ]
        for line in filter(None, lines):
            out.print(shown(line), soft_wrap=True)
        print_problems(kept, collection, last, most=10_000)


@contextmanager
def _kept(settings: Settings) -> Iterator[Collections]:
    """Yield the collections of the edition."""
    if settings.edition == "cloud":
        with buckets.opened(settings) as kept:
            yield kept
    else:
        with opened(settings) as stored:
            yield stored.collections


@contextmanager
def opened(settings: Settings) -> Iterator[StoredCollections]:
    """Yield what is in the data folder, whichever process has it."""
    if settings.edition == "cloud":
        raise InvalidRequest("collections of folders are of EDITION embedded", field="EDITION")
    # Here: it takes a second.
    from imagesearch.local.embedded.services import StoredCollections

    with closing(StoredCollections(settings)) as stored:
        yield stored


def added(
    stored: StoredCollections,
    given: Path,
    name: str,
    keeps_place: bool | None,
    say: Callable[[str], None],
) -> Collection:
    """
    Return the collection of *given*, kept, or the one that has it in it.

    What is otherwise than one may think is told by *say*. Raises InvalidRequest.
    """
    from imagesearch.folders.roots import check_root  # here: it imports what downloads

    collections = stored.collections
    root = given.expanduser().resolve()
    if not is_utf8(str(root)):
        bound = "SET must be a path in UTF-8"
        raise InvalidRequest(f"{bound}, got {printable(str(root))}", field="SET")
    check_root(root)
    every = {each.name: each for each in collections.all()}
    for each in every.values():
        if Path(each.root) == root:
            if name and name != each.name:
                say(f"{root} is the collection {each.name!r} already.")
            if keeps_place is not None:
                each = replace(each, keeps_place=keeps_place)
                collections.keep(each)
            return each
        if root.is_dir() and root.is_relative_to(each.root):
            within = root.relative_to(each.root).as_posix()
            if _is_skipped(Path(each.root), within):
                bound = f"FOLDER must be none that {each.name!r} skips, which it is in"
                raise InvalidRequest(f"{bound}, got {within!r}", field="FOLDER")
            say(
                f"{root} is in the collection {each.name!r} already, and is searched by"
                f" --collection {each.name!r} --folder {within!r}."
            )
            return each
    moved = _moved(stored, every.values(), root)
    if moved is not None:
        say(f"{moved.name!r} was {moved.root}, which is gone: it is {root} now.")
        if moved.name != (name or _name_of(root)):
            say(f"It keeps its name, {moved.name!r}.")
        kept = moved.keeps_place if keeps_place is None else keeps_place
        collection = replace(moved, root=str(root), keeps_place=kept)
        collections.keep(collection)
        return collection
    inner = [each.name for each in every.values() if Path(each.root).is_relative_to(root)]
    if inner:
        say(f"It has the collections {', '.join(inner)} in it; no picture is embedded twice.")
    name = checked_name(name or _name_of(root))
    # A filter finds a collection by its name in any case.
    before = next((each for each in every.values() if alike(each.name) == alike(name)), None)
    if before is not None:
        bound = (
            f"--name must be one that no other collection has, and {before.name!r} is {before.root}"
        )
        raise InvalidRequest(bound, field="--name")
    collection = Collection(name, str(root), bool(keeps_place))
    collections.keep(collection)
    return collection


def _is_skipped(root: Path, within: str) -> bool:
    """Return whether the folder *within* a collection's is none that is looked into."""
    folder = root
    for part in Path(within).parts:
        folder /= part
        if part.startswith(".") or part in SKIPPED_FOLDERS or (folder / NO_MEDIA).exists():
            return True
    return False


def _what_lies_in(root: str) -> str:
    """Return what files a folder has, by their suffixes: "3 .cr2, 1 .mp4"."""
    names = (name for _, _, files in os.walk(root) for name in files if not name.startswith("."))
    counts = Counter(Path(name).suffix.lower() or "without a suffix" for name in names)
    most = ", ".join(f"{count:,} {suffix}" for suffix, count in counts.most_common(5))
    return f"{most}{', …' * (len(counts) > 5)} in {root}" if counts else f"no file in {root}"


def _say(line: str) -> None:
    """Print a line that is whole however long its paths are."""
    out.print(Text(printable(line)), soft_wrap=True)


def _moved(stored: StoredCollections, every: Iterable[Collection], root: Path) -> Collection | None:
    """Return the collection that was moved, or renamed, to *root*; None where it is none."""
    gone = [each for each in every if not os.path.exists(each.root)]
    return moved_to(str(root), gone, stored.collections, stored.folders)


def _name_of(root: Path) -> str:
    return (root.name if root.is_dir() else root.stem) or "pictures"


_Updated = Callable[[Collection, Callable[[Update], None]], Update]


@contextmanager
def updater(
    settings: Settings, collections: Collections, say: Callable[[str], None]
) -> Iterator[_Updated]:
    """Yield what brings a collection up to date: here, or in the process that has the folder."""
    from imagesearch.local.embedded.stack import FolderInUse

    is_told = False
    while True:
        try:
            with opened_stack(settings) as stack:
                yield lambda collection, tell: _made(stack, collections, collection, tell)
                return
        except FolderInUse as busy:
            if busy.url is not None:
                say(f"The imagesearch at {busy.url} does it, by its own model.")
                yield lambda collection, tell: _followed(settings, collections, collection, tell)
                return
        if not is_told:
            say(f"Waiting for another command that has {settings.data_dir}.")
            is_told = True
        time.sleep(_POLL_SECONDS)


def _made(
    stack: Stack, collections: Collections, collection: Collection, tell: Callable[[Update], None]
) -> Update:
    collections.ask(collection.name)  # should this process be killed, the next one goes on with it
    update = stack.services.update(collection.name, tell)
    # What another model embedded would be found no more, by whoever searches next.
    stack.services.reembed(lambda _: None)
    return update


class EndedEarlyError(Unavailable):
    """An update ended early in another process, which said why."""


def _followed(
    settings: Settings,
    collections: Collections,
    collection: Collection,
    tell: Callable[[Update], None],
) -> Update:
    """Ask for the update, and return what came of it."""
    request = collections.ask(collection.name)
    looked_at = time.monotonic()
    while not collections.is_answered(collection.name, request):
        tell(collections.last_update(collection.name))
        time.sleep(_POLL_SECONDS)
        if time.monotonic() > looked_at + _LOOK_SECONDS:
            looked_at = time.monotonic()
            _check_somebody_is_at_it(settings)
    if all(each.name != collection.name for each in collections.all()):
        raise NotFound(f"the collection {collection.name!r} was removed meanwhile")
    outcome = collections.last_update(collection.name)
    if outcome.error:
        raise EndedEarlyError(outcome.error)
    return outcome


def _check_somebody_is_at_it(settings: Settings) -> None:
    """Return while another process has the data folder, else raise Unavailable."""
    from imagesearch.local.embedded.stack import FolderInUse, FolderLock

    try:
        FolderLock(settings.data_dir).close()
    except FolderInUse:
        return
    raise Unavailable("the imagesearch that did it has ended: run the command again")


@contextmanager
def _telling_of_a_break() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        err.print("Broken off; the next update goes on where it was.")
        raise


def _bring_up_to_date(
    settings: Settings, collections: Collections, named: list[Collection]
) -> None:
    problems = 0
    with updater(settings, collections, lambda line: err.print(Text(line))) as updated:
        for collection in named:
            try:
                with _telling_of_a_break(), progress(collection) as tell:
                    outcome = updated(collection, tell)
            except (InvalidRequest, NotFound, EndedEarlyError) as error:
                if len(named) == 1:
                    raise
                err.print(shown(f"{collection.name}: {error}"), soft_wrap=True)
                problems += 1  # the others have disks of their own
                continue
            out.print(shown(changes(collection, outcome)), soft_wrap=True)
            print_problems(collections, collection, outcome, most=SHOWN)
            problems += outcome.problems - outcome.taken_down  # which is as it is to be
    if problems:
        raise typer.Exit(1)
