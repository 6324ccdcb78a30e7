"""Captioned sets: pictures with sentences that are true of them, and what of a set does not fit."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path, PurePosixPath

from imagesearch.domain.errors import InvalidRequest, RejectedImage
from imagesearch.domain.images import PICTURE_SUFFIXES, Embedding
from imagesearch.domain.picture_facts import Caption
from imagesearch.domain.queries import MAX_QUERY_CHARACTERS

MAX_PICTURE_BYTES = 50_000_000
ALL = "all"  # the split that is everything
FIELD = "SET"
_EXAMPLES = 3
_MAX_EXAMPLE_CHARACTERS = 80

NO_CAPTION = "pictures without a caption"
NO_PICTURE = "captions whose picture is missing"
NO_SEARCH = f"captions that no search takes (1 to {MAX_QUERY_CHARACTERS} characters of Unicode)"
UNREADABLE = "entries that cannot be read"
UNUSABLE = "pictures that cannot be used"


@dataclass(frozen=True)
class CaptionedPicture:
    """
    A picture and sentences that are true of it.

    Attributes:
        name: what tells it from the others of its set; of several that captions have for one file
            the first.
        read: returns its bytes, or raises OSError, RejectedImage or NotFound.
        file: where they lie, if they are a file of their own.
        row: what else its set says of it, as a table would, by column.
    """

    name: str
    captions: tuple[Caption, ...]
    read: Callable[[], bytes] = field(compare=False)
    file: Path | None = field(default=None, compare=False)
    row: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass
class Misfit:
    """So many things of one kind that do not fit, and the first different ones of them."""

    what: str
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        more = ", …" if self.count > len(self.examples) else ""
        return f"{self.what}: {self.count} ({', '.join(self.examples)}{more})"


@dataclass
class Misfits:
    """What of a set does not fit, in the order in which each kind was met first."""

    kinds: dict[str, Misfit] = field(default_factory=dict)

    def add(self, what: str, example: str) -> None:
        """Count one more of *what*."""
        kind = self.kinds.setdefault(what, Misfit(what))
        kind.count += 1
        is_long = len(example) > _MAX_EXAMPLE_CHARACTERS
        example = f"{example[:_MAX_EXAMPLE_CHARACTERS]}…" if is_long else example
        if len(kind.examples) < _EXAMPLES and example not in kind.examples:
            kind.examples.append(example)

    def __iter__(self) -> Iterator[Misfit]:
        return iter(self.kinds.values())


@dataclass(frozen=True)
class CaptionedSet:
    """
    A set as it was read.

    Attributes:
        form: the name of its form, of `forms.FORMS`.
        split: the part of it that was read; None where it has no parts.
        pictures: each with a caption at least, in the order of their names.
        misfits: what was left out.
        embedded: returns of a model, by its revision, the embeddings that there are already, by
            the pictures' names.
    """

    form: str
    split: str | None
    pictures: Sequence[CaptionedPicture]
    misfits: Misfits
    embedded: Callable[[str], Mapping[str, Embedding]] = lambda _: {}


@dataclass(frozen=True)
class Pictures:
    """The pictures in a folder and below it, by the names that captions have for them."""

    folder: Path

    def find(self, name: str) -> Path | None:
        """Return the file *name*, which lies in the folder by that path, or anywhere by its end."""
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or not path.name:
            return None  # captions of others are not to name any file of this machine
        for candidate in (self.folder / path, self.folder / path.name):
            try:
                if candidate.is_file():
                    return candidate
            except OSError:  # a name that is too long
                return None
        return self._below.get(composed(path.as_posix())) or self._below.get(composed(path.name))

    @cached_property
    def _below(self) -> dict[str, Path]:
        """
        By their paths and by their names the pictures in the folder and below, composed.

        Names that two have tell nothing.
        """
        files = [path for path in self.folder.rglob("*") if is_picture(path.name)]
        counts = Counter(composed(path.name) for path in files)
        names = {composed(path.name): path for path in files}
        by_name = {name: path for name, path in names.items() if counts[name] == 1}
        return by_name | {
            composed(path.relative_to(self.folder).as_posix()): path for path in files
        }


@dataclass
class Gathered:
    """What a form's reader hands in, a caption at a time, and what becomes of it."""

    pictures: Pictures
    misfits: Misfits = field(default_factory=Misfits)
    # A picture that is a file is told by that file, whatever captions call it, and others by name.
    _found: dict[str, Path | str] = field(default_factory=dict)  # by what captions call it
    _captions: dict[Path | str, list[Caption]] = field(default_factory=dict)
    _pictures: dict[Path | str, CaptionedPicture] = field(default_factory=dict)
    _rows: dict[Path | str, Mapping[str, str]] = field(default_factory=dict)

    def caption(self, name: str, caption: Caption, read: Callable[[], bytes] | None = None) -> None:
        """
        Take a *caption* of the picture *name*.

        Args:
            read: returns its bytes; else it is a file among the pictures.
        """
        text = caption.text.strip()
        if not 0 < len(text) <= MAX_QUERY_CHARACTERS or not is_unicode(text):
            self.misfits.add(NO_SEARCH, f"{text[:40]!a} of {name}")
            return
        if name not in self._found:
            file = self.pictures.find(name) if read is None else None
            read = partial(read_picture, file) if file else read
            if read is None:
                self.misfits.add(NO_PICTURE, name or repr(text))
                return
            self._found[name] = key = file.resolve() if file else name
            self._pictures.setdefault(key, CaptionedPicture(name, (), read, file))
        said = Caption(text, caption.language.strip())
        self._captions.setdefault(self._found[name], []).append(said)

    def row(self, name: str, row: Mapping[str, str]) -> None:
        """Take what else is said of the picture *name*, if a caption of it was taken."""
        if name in self._found:
            self._rows.setdefault(self._found[name], row)

    def has(self, file: Path) -> bool:
        """Return whether *file* is a picture that a caption was taken of."""
        return file.resolve() in self._captions

    def captioned(self) -> list[CaptionedPicture]:
        """Return the pictures in the order of their names, each caption once."""
        pictures = [
            replace(
                picture,
                captions=tuple(dict.fromkeys(self._captions[key])),
                row=self._rows.get(key, {}),
            )
            for key, picture in self._pictures.items()
        ]
        return sorted(pictures, key=lambda each: each.name)


def composed(name: str) -> str:
    """Return *name* as names are compared: what a Mac wrote has accents apart from letters."""
    return unicodedata.normalize("NFC", name)


def is_picture(name: str) -> bool:
    """Return whether a file's name is one of a picture."""
    _, dot, suffix = name.lower().rpartition(".")
    return f"{dot}{suffix}" in PICTURE_SUFFIXES


def is_unicode(text: str) -> bool:
    """Return whether *text* is free of halves of surrogate pairs, which JSON may hold."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def read_picture(path: Path) -> bytes:
    """Return the bytes of the picture at *path*; OSError or RejectedImage where it has none."""
    with path.open("rb") as file:
        return bounded(file.read(MAX_PICTURE_BYTES + 1))


def bounded(data: bytes) -> bytes:
    """Return *data*, or raise RejectedImage where it is more than any picture has."""
    if len(data) > MAX_PICTURE_BYTES:
        raise RejectedImage(f"it has more than {MAX_PICTURE_BYTES} bytes")
    return data


def unreadable(path: Path, why: str) -> InvalidRequest:
    """Return the error that says why *path* is no captioned set."""
    return InvalidRequest(f"{path} {why}", field=FIELD)
