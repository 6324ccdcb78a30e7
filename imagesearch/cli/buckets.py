"""`imagesearch add gs://…` and the other commands of collections, in the cloud edition.

The fetch function does what is asked for; the command follows what it notes in Firestore.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from imagesearch.cli.terminal import err, out, shown
from imagesearch.cli.updates import SHOWN, changes, named, print_problems, progress
from imagesearch.domain.buckets import BucketRoot, bucket_root, is_bucket
from imagesearch.domain.collections import Collection, Update, checked_name
from imagesearch.domain.errors import InvalidRequest, NotFound, Unavailable
from imagesearch.domain.work import ForgetJob
from imagesearch.ports import BucketCollections, Publisher
from imagesearch.settings import Settings
from imagesearch.usecases.collect import ask

if TYPE_CHECKING:
    from imagesearch.adapters.collections.firestore import FirestoreCollections

_POLL_SECONDS = 1.0
_QUIET_SECONDS = 120.0  # after which it is said that nothing comes of it: an instance starts first


@contextmanager
def opened(settings: Settings) -> Iterator[FirestoreCollections]:
    """Yield what Firestore has of collections; InvalidRequest where a setting is lacking."""
    from imagesearch.adapters.collections.firestore import FirestoreCollections
    from imagesearch.compose.cloud import database_of
    from imagesearch.compose.start import require

    require(settings, "google_cloud_project")
    with closing(database_of(settings)) as database:
        yield FirestoreCollections(database)


def add(settings: Settings, root: str, name: str, keeps_place: bool | None) -> None:
    """Have the bucket, or the prefix, at *root* searched."""
    if not is_bucket(root):
        bound = "in EDITION=cloud SET must be gs://BUCKET or gs://BUCKET/PREFIX"
        raise InvalidRequest(f"{bound}, got {root[:64]!r}", field="SET")
    with opened(settings) as collections, _publisher(settings) as publisher:
        collection = added(collections, bucket_root(root), name, keeps_place)
        _bring_up_to_date(collections, publisher, [collection])


def update(settings: Settings, names: list[str] | None) -> None:
    """Have collections brought up to date with their buckets."""
    with opened(settings) as collections, _publisher(settings) as publisher:
        _bring_up_to_date(collections, publisher, named(collections, names))


def remove(settings: Settings, name: str, *, is_dry: bool = False) -> None:
    """Have the collection *name* forgotten, or say what would be."""
    with opened(settings) as collections, _publisher(settings) as publisher:
        if collections.is_there(name) and all(each.name != name for each in collections.all()):
            _removed(collections, publisher, name)  # it was asked for, and is not done
            out.print(shown(f"{name} is forgotten."))
            return
        collection = named(collections, [name])[0]
        count = next(each for each in collections.counts() if each.name == name)
        if is_dry:
            line = f"up to {count.images:,} images would be forgotten; {collection.root} stays."
            out.print(shown(f"{name}: {line}"), soft_wrap=True)
            return
        _removed(collections, publisher, name)
    line = f"{count.pictures:,} pictures are forgotten; {collection.root} is as it was."
    out.print(shown(f"{name}: {line}"), soft_wrap=True)


def _removed(collections: BucketCollections, publisher: Publisher, name: str) -> None:
    """Have the collection forgotten, and return when all of it is."""
    publisher.publish(ForgetJob(collection=name))
    with err.status(shown(f"Waiting for the fetch function to forget {name}")):
        _wait(lambda: not collections.is_there(name))


def added(
    collections: BucketCollections, root: BucketRoot, name: str, keeps_place: bool | None
) -> Collection:
    """Return the collection of *root*, or the one that has it in it; nothing is kept yet."""
    every = {each.name: each for each in collections.all() if is_bucket(each.root)}
    for each in every.values():
        outer = bucket_root(each.root)
        if outer == root:
            if name and name != each.name:
                out.print(shown(f"{root.url} is the collection {each.name!r} already."))
            return each if keeps_place is None else replace(each, keeps_place=keeps_place)
        if root.is_within(outer):
            within = root.prefix.removeprefix(outer.prefix).rstrip("/")
            out.print(
                shown(
                    f"{root.url} is in the collection {each.name!r} already, and is searched by"
                    f" --collection {each.name!r} --folder {within!r}."
                ),
                soft_wrap=True,
            )
            return each
    inner = [each.name for each in every.values() if bucket_root(each.root).is_within(root)]
    if inner:
        line = f"It has the collections {', '.join(inner)} in it; no picture is embedded twice."
        out.print(shown(line), soft_wrap=True)
    name = checked_name(name or root.prefix.rstrip("/").rpartition("/")[2] or root.bucket)
    if name in every:
        bound = f"--name must be one that no other collection has, and {name!r} is"
        raise InvalidRequest(f"{bound} {every[name].root}", field="--name")
    return Collection(name, root.url, bool(keeps_place))


def followed(
    collections: BucketCollections,
    collection: Collection,
    request: int,
    tell: Callable[[Update], None],
) -> Update:
    """
    Return what came of the *request*, once it is answered.

    Raises:
        NotFound: the collection was removed meanwhile.
        Unavailable: the update ended early.
    """
    began = time.monotonic()

    def is_done() -> bool:
        if collections.is_answered(collection.name, request):
            return True
        stand = collections.last_update(collection.name)
        if not stand.is_over:  # else it is that of the request before
            tell(replace(stand, seconds=time.monotonic() - began))
        return False

    _wait(is_done, lambda: collections.position(collection.name))
    if all(each.name != collection.name for each in collections.all()):
        raise NotFound(f"the collection {collection.name!r} was removed meanwhile")
    outcome = collections.last_update(collection.name)
    if outcome.error:
        raise Unavailable(outcome.error)
    return replace(outcome, seconds=time.monotonic() - began)


def _wait(is_done: Callable[[], bool], stand: Callable[[], object] = lambda: None) -> None:
    """Return when it is; say once where *stand* stays the same for long from the beginning."""
    ends_at: float | None = time.monotonic() + _QUIET_SECONDS
    before = None
    while not is_done():
        if ends_at is not None:
            now = stand()
            before = before or now
            if now != before:
                ends_at = None
            elif time.monotonic() > ends_at:
                ends_at = None
                line = "Nothing has come of it yet: what is wrong is in the fetch function's log."
                err.print(Text(line), soft_wrap=True)
        time.sleep(_POLL_SECONDS)


@contextmanager
def _publisher(settings: Settings) -> Iterator[Publisher]:
    from imagesearch.compose.publisher import publisher_of

    with closing(publisher_of(settings)) as publisher:
        yield publisher


def _bring_up_to_date(
    collections: BucketCollections, publisher: Publisher, every: list[Collection]
) -> None:
    requests = [ask(collections, publisher, each) for each in every]
    problems = 0
    for collection, request in zip(every, requests, strict=True):
        try:
            with progress(collection) as tell:
                outcome = followed(collections, collection, request, tell)
        except KeyboardInterrupt:
            line = f"It goes on without this command: imagesearch info {collection.name!r}"
            err.print(shown(line), soft_wrap=True)
            raise
        except (NotFound, Unavailable) as error:
            if len(every) == 1:
                raise
            err.print(shown(f"{collection.name}: {error}"), soft_wrap=True)
            problems += 1  # the others have buckets of their own
            continue
        out.print(shown(changes(collection, outcome)), soft_wrap=True)
        print_problems(collections, collection, outcome, most=SHOWN)
        problems += outcome.problems - outcome.taken_down  # which is as it is to be
    if problems:
        raise typer.Exit(1)
