"""`imagesearch watch`: collections that are brought up to date as their folders change."""

from __future__ import annotations

import errno
import hashlib
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from imagesearch.cli.collections import Names, opened, updater
from imagesearch.cli.options import DataDir, ModelName, settings_with
from imagesearch.cli.terminal import err, out, shown
from imagesearch.cli.updates import SHOWN, changes, named, print_problems
from imagesearch.domain.collections import Collection
from imagesearch.domain.errors import InvalidRequest, NotFound, Overloaded, Unavailable
from imagesearch.settings import Settings

if TYPE_CHECKING:
    from imagesearch.local.embedded.services import StoredCollections

# After which what a host did not give is asked for again: each time loads the model.
_FIRST_REST_SECONDS = 300.0
_LONGEST_REST_SECONDS = 21_600.0


def watch(
    names: Names = None,
    every: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="How often folders are looked at")
    ] = 60.0,
    data_dir: DataDir = None,
    model: ModelName = None,
) -> None:
    """
    Bring collections up to date whenever a look at their folders shows a change, until Ctrl-C.

    What a list has and a host did not give for now is asked for again after 5 minutes, and later
    each time, after 6 hours at the most.

    Between looks other commands have the data folder, and no model is loaded.
    """
    settings = settings_with(data_dir=data_dir, clip_model=model)
    if settings.edition == "cloud":
        raise InvalidRequest("in the cloud a bucket's notifications do that: nothing is to watch")
    with opened(settings) as stored, suppress(KeyboardInterrupt):
        watched = _Watched(settings, stored)
        count = len(named(stored.collections, names))
        err.print(f"Watching {count} collection{'s' * (count != 1)}; Ctrl-C ends it.")
        while True:
            with watched.telling_of("imagesearch"):
                watched.look(named(stored.collections, names))
            time.sleep(every)
    err.print("Watching has ended; what is not done is gone on with by the next update.")


@dataclass(frozen=True)
class _Watched:
    """
    Folders, and what was seen in them.

    Attributes:
        seen: a digest of each collection's files when it was last brought up to date.
        told: the last error of each, and of all, which is told once.
        rests: of those with problems that pass, when they are tried again, by the monotonic clock,
            and the seconds until then.
    """

    settings: Settings
    stored: StoredCollections
    seen: dict[str, bytes] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    rests: dict[str, tuple[float, float]] = field(default_factory=dict)

    def look(self, collections: Iterable[Collection]) -> None:
        """Bring those of *collections* up to date that changed, or are to be tried again."""
        digests = {}
        for collection in collections:
            with self.telling_of(collection.name, InvalidRequest, NotFound):
                digest = self._digest(collection)
                if digest != self.seen.get(collection.name) or self._is_due(collection.name):
                    digests[collection.name] = collection, digest
        if not digests:
            return
        kept = self.stored.collections
        with updater(self.settings, kept, self._say_once) as updated:
            for collection, digest in digests.values():
                with self.telling_of(collection.name, InvalidRequest, NotFound):
                    outcome = updated(collection, lambda _: None)
                    is_changed = digest != self.seen.get(collection.name)
                    is_worse = outcome.problems and is_changed  # else they were told before
                    if outcome.embedded or outcome.reused or outcome.gone or is_worse:
                        out.print(shown(changes(collection, outcome)), soft_wrap=True)
                        print_problems(kept, collection, outcome, most=SHOWN)
                    self.seen[collection.name] = digest
                    self._rest(collection.name, outcome.passing, is_changed)

    def _is_due(self, name: str) -> bool:
        return name in self.rests and time.monotonic() >= self.rests[name][0]

    def _rest(self, name: str, passing: int, is_changed: bool) -> None:
        """Have the collection tried again after a while if any of its problems pass."""
        _, before = self.rests.pop(name, (0.0, 0.0))
        if passing:
            longer = min(2 * before, _LONGEST_REST_SECONDS)
            seconds = _FIRST_REST_SECONDS if is_changed or not before else longer
            self.rests[name] = time.monotonic() + seconds, seconds

    def _digest(self, collection: Collection) -> bytes:
        """Return a digest of what the collection's files are told by: nothing of them is read."""
        listed = self.stored.folders.listed(collection.root)
        lines = [repr(collection), *sorted(map(repr, listed))]
        return hashlib.blake2b("\n".join(lines).encode()).digest()

    @contextmanager
    def telling_of(self, name: str, *more: type[Exception]) -> Iterator[None]:
        """Tell once of a disk that is full, a catalog that is busy, and of *more*: they pass."""
        passing: tuple[type[Exception], ...] = (Overloaded, Unavailable, OSError, *more)
        try:
            yield
        except passing as error:
            if isinstance(error, OSError) and error.errno != errno.ENOSPC:
                raise
            if self.told.get(name) != str(error):
                err.print(shown(f"{name}: {error}"), soft_wrap=True)
            self.told[name] = str(error)
        else:
            self.told.pop(name, None)

    def _say_once(self, line: str) -> None:
        if self.told.get("") != line:
            err.print(Text(line))
        self.told[""] = line
