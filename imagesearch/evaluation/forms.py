"""The forms that captioned sets have, a function each: `FORMS` is the table of them.

Sources: Karpathy and Fei-Fei 2015 (`caption_datasets`), the annotations of COCO 2017, Flickr8k as
its authors and as Kaggle give it, Flickr30k as Kaggle does, the conventions of webdataset and
img2dataset.
"""

from __future__ import annotations

import codecs
import csv
import fnmatch
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from imagesearch.domain.errors import RejectedImage
from imagesearch.domain.picture_facts import Caption
from imagesearch.evaluation.captions import (
    ALL,
    NO_CAPTION,
    NO_PICTURE,
    UNREADABLE,
    CaptionedSet,
    Gathered,
    Pictures,
    composed,
    is_picture,
    unreadable,
)
from imagesearch.evaluation.tar_shards import (
    is_shards,
    picture_of,
    read_member,
    sample_captions,
    samples,
    shards_of,
)

# A folder is read by the captions file in it, the first of these that there is. Others may have the
# name of Flickr30k's: theirs are of no form.
_RESULTS = "results*.csv"
_CAPTIONS_FILES = (
    *("captions.csv", "captions.txt", "*.token.txt", "*.token"),
    *("dataset*.json", "captions*.json", _RESULTS),
)
_DEEPEST_CAPTIONS = 2  # folders down
_COLUMNS = ("image", "caption")
_MOST_LINES = 50  # of a row of a CSV: quotes that stay open longer were never meant to be
_PIPED_COLUMNS = ["image_name", "comment_number", "comment"]
_TOKEN_LINE = re.compile(r"(?P<name>[^\t]+)#\d+\t(?P<text>.*)")
_NAMED_LANGUAGE = re.compile(r"(?P<stem>.+)\.(?P<language>[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*)")
# As Tux Paint's stamps have it: a line a language.
_LINE_OF_LANGUAGE = re.compile(r"(?P<language>[a-z]{2,3}([_@][A-Za-z]+)*)\.utf8=(?P<text>.*)")
_FLICKR8K_SPLITS = {"train": "train", "val": "dev", "test": "test"}


@dataclass(frozen=True)
class Source:
    """
    Where a set is read from.

    Attributes:
        path: its captions file, or a folder.
        split: which part of it is asked for.
    """

    path: Path
    split: str

    @cached_property
    def json(self) -> dict[str, Any]:
        """What the file holds as JSON; nothing where it is no JSON."""
        if self._suffix != ".json":
            return {}
        value = json.loads(read_text(self.path))
        return value if isinstance(value, dict) else {}

    @cached_property
    def first_line(self) -> str:
        """The first line of a file of text."""
        if self._suffix not in (".csv", ".txt", ".token"):
            return ""
        with self.path.open(encoding=_encoding(self.path)) as file:
            return file.readline(10_000).rstrip("\n")

    @property
    def _suffix(self) -> str:
        """Of a file; a folder may be called anything."""
        return "" if self.path.is_dir() else self.path.suffix.lower()


@dataclass(frozen=True)
class Form:
    """
    One form of captioned sets.

    Attributes:
        name: what it is called in messages.
        is_of: whether a source is of this form.
        read: hands its captions in, and returns the split that they are of, if it has any.
    """

    name: str
    is_of: Callable[[Source], bool]
    read: Callable[[Source, Gathered], str | None]


def _is_csv(source: Source) -> bool:
    columns, _ = _header(source)
    return {*_COLUMNS} <= {*columns}


def _header(source: Source) -> tuple[list[str], str]:
    """Return the names of a CSV's columns in lower case, and what is between them."""
    line = source.first_line
    between = ";" if ";" in line and "," not in line else ","  # as spreadsheets have it
    cells = next(csv.reader([line], delimiter=between), [])
    return [name.strip().lower() for name in cells], between


def _read_csv(source: Source, gathered: Gathered) -> None:
    columns, between = _header(source)
    ends_with_captions = columns[-1] == "caption"
    for number, cells in _rows(source.path, between):
        row = dict(zip(columns, cells or (), strict=False))
        # What is beyond the last column belongs to a caption with commas and without quotes.
        beyond = (cells or [])[len(columns) :]
        text = between.join([row.get("caption", ""), *beyond])
        name = row.get("image", "").strip()
        if not name or not text.strip() or (beyond and not ends_with_captions):
            gathered.misfits.add(UNREADABLE, f"line {number} of {source.path.name}")
            continue
        gathered.caption(name, Caption(text, row.get("language", "")))
    if source.path.name == "captions.csv":
        _count_uncaptioned(gathered)


def _rows(path: Path, between: str) -> Iterator[tuple[int, list[str] | None]]:
    """Yield each row below the header by its line, None where its quotes are broken."""
    with path.open(encoding=_encoding(path), newline="") as file:
        lines = [*file]
    at = 1
    while at < len(lines):
        rows = csv.reader(lines[at : at + _MOST_LINES], delimiter=between, strict=True)
        try:
            if cells := next(rows):
                yield at + 1, cells
            at += rows.line_num
        except csv.Error:  # only this line: the next may be sound
            yield at + 1, None
            at += 1


def _is_piped(source: Source) -> bool:
    return [name.strip() for name in source.first_line.split("|")] == _PIPED_COLUMNS


def _read_piped(source: Source, gathered: Gathered) -> None:
    lines = read_text(source.path).split("\n")
    for number, line in enumerate(lines[1:], start=2):
        name, _, text = (*map(str.strip, line.split("|", 2)), "", "")[:3]
        if name and text:
            gathered.caption(name, Caption(text))
        elif line.strip():
            gathered.misfits.add(UNREADABLE, f"line {number} of {source.path.name}")


def _is_flickr8k(source: Source) -> bool:
    return bool(_TOKEN_LINE.fullmatch(source.first_line))


def _read_flickr8k(source: Source, gathered: Gathered) -> str | None:
    split, names = _flickr8k_split(source)
    lines = read_text(source.path).splitlines()
    for number, line in enumerate(lines, start=1):
        if match := _TOKEN_LINE.fullmatch(line):
            if names is None or match["name"] in names:
                gathered.caption(match["name"], Caption(match["text"]))
        elif line.strip():
            gathered.misfits.add(UNREADABLE, f"line {number} of {source.path.name}")
    return split


def _flickr8k_split(source: Source) -> tuple[str | None, set[str] | None]:
    """Return the split that a list beside the captions file names, and the pictures in it."""
    name = _FLICKR8K_SPLITS.get(source.split, source.split)
    if source.split == ALL:
        return ALL, None
    listed = source.path.with_name(f"Flickr_8k.{name}Images.txt")
    if not listed.is_file():
        return None, None
    return source.split, {*read_text(listed).split("\n")}


def _is_karpathy(source: Source) -> bool:
    images = source.json.get("images")
    return isinstance(images, list) and any("sentences" in _object(image) for image in images[:10])


def _read_karpathy(source: Source, gathered: Gathered) -> str:
    splits = dict.fromkeys(str(_object(image).get("split")) for image in source.json["images"])
    wanted = {"train", "restval"} if source.split == "train" else {source.split}
    if source.split != ALL and not wanted & {*splits}:
        has = ", ".join(map(repr, splits))
        raise ValueError(f"it has no pictures of the split {source.split!r}, but of {has}")
    for number, image in enumerate(source.json["images"]):
        if source.split != ALL and _object(image).get("split") not in wanted:
            continue
        try:
            folder, name = image.get("filepath", ""), image["filename"]
            path = f"{folder}/{name}" if folder else _text(name)
            sentences = [*image["sentences"]]
        except (AttributeError, KeyError, TypeError):
            gathered.misfits.add(UNREADABLE, f"images[{number}]")
            continue
        captions = []
        for place, sentence in enumerate(sentences):
            try:
                captions.append(Caption(_text(sentence["raw"])))
            except (KeyError, TypeError):
                gathered.misfits.add(UNREADABLE, f"images[{number}].sentences[{place}]")
        _hand_in(gathered, path, captions)
    return source.split


def _is_coco(source: Source) -> bool:
    return all(isinstance(source.json.get(key), list) for key in ("images", "annotations"))


def _read_coco(source: Source, gathered: Gathered) -> None:
    captions: dict[object, list[Caption]] = {}
    for number, annotation in enumerate(source.json["annotations"]):
        try:
            caption = Caption(_text(annotation["caption"]), _text(annotation.get("language", "")))
            captions.setdefault(annotation["image_id"], []).append(caption)
        except (AttributeError, KeyError, TypeError):
            gathered.misfits.add(UNREADABLE, f"annotations[{number}]")
    licences = _coco_licences(source.json.get("licenses"))
    for number, image in enumerate(source.json["images"]):
        try:
            name, of_image = _text(image["file_name"]), captions.pop(image["id"], [])
        except (AttributeError, KeyError, TypeError):
            gathered.misfits.add(UNREADABLE, f"images[{number}]")
            continue
        _hand_in(gathered, name, of_image)
        gathered.row(name, _coco_row(image, licences))
    for image_id, some in captions.items():
        for _ in some:
            gathered.misfits.add(NO_PICTURE, f"image_id {image_id}")


def _coco_licences(listed: object) -> dict[str, dict[str, Any]]:
    """Return the licences that a file lists, by the text of the number that images have."""
    licences = map(_object, listed if isinstance(listed, list) else ())
    return {str(each.get("id")): each for each in licences}


def _coco_row(image: dict[str, Any], licences: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """
    Return under which licence an image is, and where it is from.

    Not its `date_captured`: that is when COCO was collected, not when it was taken.
    """
    licence = licences.get(str(image.get("license")), {})
    row = {
        **{"license": licence.get("name"), "license_url": licence.get("url")},
        **{name: image.get(name) for name in ("flickr_url", "coco_url")},
    }
    return {name: text for name, text in row.items() if isinstance(text, str)}


def _read_shards(source: Source, gathered: Gathered) -> None:
    for name, shard in shards_of(source.path):
        stem = name.rpartition(".")[0]
        try:
            for key, members in samples(shard):
                _read_sample(f"{stem}/{key}", shard, members, gathered)
        except (OSError, tarfile.TarError) as error:  # such as one that was cut: the rest of it
            gathered.misfits.add(UNREADABLE, f"{name} from there on: {error}")


def _read_sample(
    name: str,
    shard: Path,
    members: dict[str, tarfile.TarInfo],
    gathered: Gathered,
) -> None:
    picture = picture_of(members)
    try:
        captions = list(sample_captions(shard, members))
    except (ValueError, RecursionError, RejectedImage):  # such as a text of 50 MB
        gathered.misfits.add(UNREADABLE, name)
        return
    if picture:
        place = partial(read_member, shard, picture.offset_data, picture.size)
        _hand_in(gathered, name, captions, place)
    else:
        for _ in captions:
            gathered.misfits.add(NO_PICTURE, name)


def _read_text_files(source: Source, gathered: Gathered) -> None:
    for folder, names in _folders_within(source.path):
        pictures = [name for name in names if is_picture(name)]
        owners = {composed(Path(name).stem): name for name in reversed(pictures)}
        by_name = owners | {composed(name): name for name in pictures}
        for words in filter(_is_text, names):
            _read_text_file(source.path, folder, words, by_name, gathered)
        for name in pictures:
            if gathered.has(source.path / folder / name):
                continue
            owner = owners[composed(Path(name).stem)]
            is_owned = gathered.has(source.path / folder / owner)
            why = f", as {owner} beside it has the caption" if is_owned else ""
            gathered.misfits.add(NO_CAPTION, f"{folder}{name}{why}")


def _is_text(name: str) -> bool:
    return name.lower().endswith(".txt")


def _count_uncaptioned(gathered: Gathered) -> None:
    for path in sorted(gathered.pictures.folder.iterdir()):
        if is_picture(path.name) and not gathered.has(path):
            gathered.misfits.add(NO_CAPTION, path.name)


def _read_text_file(
    root: Path, folder: str, words: str, by_name: Mapping[str, str], gathered: Gathered
) -> None:
    """Hand in the captions of the file *words*, of the picture that it is called after."""
    stem, language = composed(Path(words).stem), ""
    named = None if stem in by_name or is_picture(stem) else _NAMED_LANGUAGE.fullmatch(stem)
    if named:
        stem, language = named["stem"], _language(named["language"])
    if stem not in by_name:
        gathered.misfits.add(NO_PICTURE, folder + words)
        return
    try:
        text = read_text(root / folder / words)
    except (OSError, UnicodeError):
        gathered.misfits.add(UNREADABLE, folder + words)
        return
    name = folder + by_name[stem]
    for line in _lines(text):
        match = _LINE_OF_LANGUAGE.fullmatch(line.strip())
        if match is None:
            gathered.caption(name, Caption(line, language))
        elif match["text"]:  # not every stamp is translated
            gathered.caption(name, Caption(match["text"], match["language"]))


def _language(tag: str) -> str:
    """Return a language's tag with the language itself in lower case: DE is de."""
    return re.sub(r"^[A-Za-z]+", lambda match: match[0].lower(), tag)


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 with its mark; OSError, UnicodeError."""
    return path.read_text(encoding=_encoding(path))


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        is_wide = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return "utf-16" if is_wide else "utf-8-sig"


def _folders_within(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield *root* and each folder within it: what paths of its files begin with, their names."""
    for folder, inner, names in os.walk(root):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        within = Path(folder).relative_to(root).as_posix()
        seen = sorted(name for name in names if not name.startswith("."))
        yield "" if within == "." else f"{within}/", seen


def _hand_in(
    gathered: Gathered,
    name: str,
    captions: Iterable[Caption],
    read: Callable[[], bytes] | None = None,
) -> None:
    captions = list(captions)
    if not captions:
        gathered.misfits.add(NO_CAPTION, name)
    for caption in captions:
        gathered.caption(name, caption, read)


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


FORMS = (
    Form("a CSV with the columns image, caption and perhaps language", _is_csv, _read_csv),
    Form("Flickr8k's captions (name#0, tab, caption)", _is_flickr8k, _read_flickr8k),
    Form("Flickr30k's results.csv (name| number| caption)", _is_piped, _read_piped),
    Form("Karpathy's JSON", _is_karpathy, _read_karpathy),
    Form("COCO's captions JSON", _is_coco, _read_coco),
    Form("tar shards", lambda source: is_shards(source.path), _read_shards),
    Form(
        "a folder of pictures with a .txt beside each",
        lambda source: source.path.is_dir(),
        _read_text_files,
    ),
)


def read_captioned(path: Path, pictures: Path | None = None, split: str = ALL) -> CaptionedSet:
    """
    Return the captioned set that *path* is: a captions file, or a folder with one or of pictures.

    Args:
        pictures: the folder of its pictures; by default that of the captions file.
        split: the part to read of a set that says which it has.

    Raises:
        InvalidRequest: it cannot be read, naming the file and the forms that can.
    """
    for folder in (pictures, None if path.is_file() else path):
        if folder and not folder.is_dir():
            raise unreadable(folder, "is no folder" if folder.exists() else "does not exist")
    source = Source(_captions_file(path), split)
    gathered = Gathered(Pictures(pictures or (path if path.is_dir() else path.parent)))
    form, has = _read(source, gathered)
    captioned = gathered.captioned()
    if not form or not captioned:
        raise unreadable(source.path, _why_none(gathered, bool(form)))
    return CaptionedSet(form.name, has, captioned, gathered.misfits)


def captions_files(folder: Path) -> list[Path]:
    """
    Return all captions files of a folder of pictures, as far down as sets have them.

    COCO's lie in `annotations`, and Flickr8k's authors give them in a folder beside the pictures'.
    The folder itself is one where pictures in it, at any depth, have a .txt beside them.
    """
    files = dict[Path, None]()
    has_texts = False
    for within, names in _folders_within(folder):
        has_texts = has_texts or _are_captioned(names)
        if within.count("/") <= _DEEPEST_CAPTIONS:
            for pattern in _CAPTIONS_FILES:
                files |= {folder / within / name: None for name in fnmatch.filter(names, pattern)}
    return [*files, *([folder] if has_texts else [])]


def _are_captioned(names: Sequence[str]) -> bool:
    """Return whether any of the files *names* is a picture that a .txt of its name lies beside."""
    texts = {composed(name.partition(".")[0]) for name in filter(_is_text, names)}
    return any(composed(name.partition(".")[0]) in texts for name in filter(is_picture, names))


def gathered_from(file: Path, pictures: Pictures) -> Gathered:
    """
    Return what one of `captions_files` says of *pictures*, nothing where it is of no form.

    Raises:
        InvalidRequest: it is of a form, and cannot be read.
    """
    gathered = Gathered(pictures)
    _read(Source(file, ALL), gathered)
    return gathered


def _read(source: Source, gathered: Gathered) -> tuple[Form | None, str | None]:
    """Return the form of *source*, of which it hands in the captions, and the split they are of."""
    try:
        form = next((each for each in FORMS if each.is_of(source)), None)
        return form, form.read(source, gathered) if form else None
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise unreadable(source.path, f"cannot be read: {error}") from error


def _captions_file(path: Path) -> Path:
    """Return the captions file that a folder is read by, the uppermost in it, or *path*."""
    if not path.is_dir():
        return path
    files = [*filter(_may_be_captions, captions_files(path))]
    candidates = [file for file in files if file.parent == path]
    if not candidates and path not in files and not is_shards(path):
        candidates = [file for file in files if file != path]
    ranks = {file: _rank(file) for file in candidates}
    match [file for file in candidates if ranks[file] == min(ranks.values())]:
        case []:
            return path
        case [file]:
            return file
        case several:
            names = ", ".join(file.relative_to(path).as_posix() for file in several)
            raise unreadable(path, f"holds several captions files, name one of them: {names}")


def _rank(file: Path) -> tuple[int, int]:
    """Return how deep a captions file lies, and the place of its name among those they have."""
    matching = (fnmatch.fnmatchcase(file.name, pattern) for pattern in _CAPTIONS_FILES)
    return len(file.parts), [*matching].index(True)


def _may_be_captions(file: Path) -> bool:
    """Return False of a CSV of results that are no captions."""
    if not fnmatch.fnmatchcase(file.name, _RESULTS):
        return True
    try:
        return _is_piped(Source(file, ALL))
    except (OSError, ValueError):
        return False


def _why_none(gathered: Gathered, is_of_a_form: bool) -> str:
    what = "; ".join(map(str, gathered.misfits)) or "it holds no captions"
    why = f"has no captioned picture: {what}" if is_of_a_form else "is no captioned set"
    return f"{why}; what can be read: {', '.join(form.name for form in FORMS)}"
