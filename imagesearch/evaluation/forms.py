"""The forms that captioned sets have, a function each: `FORMS` is the table of them.

Sources: Karpathy and Fei-Fei 2015 (`caption_datasets`), the annotations of COCO 2017, Flickr8k as
its authors and as Kaggle give it, Flickr30k as Kaggle does, the conventions of webdataset and
img2dataset.
"""

from __future__ import annotations

import csv
import fnmatch
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Any

from imagesearch.domain.errors import RejectedImage
from imagesearch.domain.picture_facts import Caption
from imagesearch.evaluation.captions import (
    ALL,
    MAX_PICTURE_BYTES,
    NO_CAPTION,
    NO_PICTURE,
    UNREADABLE,
    CaptionedSet,
    Gathered,
    Pictures,
    bounded,
    is_picture,
    unreadable,
)

# A folder is read by the captions file in it, the first of these that there is.
_CAPTIONS_FILES = (
    *("captions.csv", "captions.txt", "*.token.txt", "*.token"),
    *("dataset*.json", "captions*.json"),
)
# Within a folder of pictures others may have the name of Flickr30k's: theirs are of no form.
_ANY_CAPTIONS_FILES = (*_CAPTIONS_FILES, "results*.csv")
_DEEPEST_CAPTIONS = 2  # folders down
_COLUMNS = ("image", "caption")
_PIPED_COLUMNS = ["image_name", "comment_number", "comment"]
_TOKEN_LINE = re.compile(r"(?P<name>[^\t]+)#\d+\t(?P<text>.*)")
_NAMED_LANGUAGE = re.compile(r"(?P<stem>.+)\.(?P<language>[a-z]{2,3}([-_][A-Za-z0-9]{2,8})*)")
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
        value = json.loads(self.path.read_text(encoding="utf-8-sig"))
        return value if isinstance(value, dict) else {}

    @cached_property
    def first_line(self) -> str:
        """The first line of a file of text."""
        if self._suffix not in (".csv", ".txt", ".token"):
            return ""
        with self.path.open(encoding="utf-8-sig") as file:
            return file.readline(10_000).rstrip("\n")

    @property
    def shards(self) -> list[Path]:
        """The tar files."""
        return [self.path] if self._suffix == ".tar" else sorted(self.path.glob("*.tar"))

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
    header = next(csv.reader([source.first_line]), [])
    return {*_COLUMNS} <= {name.strip() for name in header}


def _read_csv(source: Source, gathered: Gathered) -> None:
    with source.path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, strict=True)
        rows.fieldnames = [name.strip() for name in rows.fieldnames or ()]
        ends_with_captions = rows.fieldnames[-1] == "caption"
        for row in rows:
            # What is beyond the last column belongs to a caption with commas and without quotes.
            beyond = row.get(None, [])
            text = ",".join([row["caption"] or "", *beyond])
            name = (row["image"] or "").strip()
            if not name or not text.strip() or (beyond and not ends_with_captions):
                gathered.misfits.add(UNREADABLE, f"line {rows.line_num}")
                continue
            gathered.caption(name, Caption(text, row.get("language") or ""))
    if source.path.name == "captions.csv":
        _count_uncaptioned(source.path.parent, gathered)


def _is_piped(source: Source) -> bool:
    return [name.strip() for name in source.first_line.split("|")] == _PIPED_COLUMNS


def _read_piped(source: Source, gathered: Gathered) -> None:
    lines = source.path.read_text(encoding="utf-8-sig").split("\n")
    for number, line in enumerate(lines[1:], start=2):
        name, _, text = (*map(str.strip, line.split("|", 2)), "", "")[:3]
        if name and text:
            gathered.caption(name, Caption(text))
        elif line.strip():
            gathered.misfits.add(UNREADABLE, f"line {number}")


def _is_flickr8k(source: Source) -> bool:
    return bool(_TOKEN_LINE.fullmatch(source.first_line))


def _read_flickr8k(source: Source, gathered: Gathered) -> str | None:
    split, names = _flickr8k_split(source)
    lines = source.path.read_text(encoding="utf-8-sig").splitlines()
    for number, line in enumerate(lines, start=1):
        if match := _TOKEN_LINE.fullmatch(line):
            if names is None or match["name"] in names:
                gathered.caption(match["name"], Caption(match["text"]))
        elif line.strip():
            gathered.misfits.add(UNREADABLE, f"line {number}")
    return split


def _flickr8k_split(source: Source) -> tuple[str | None, set[str] | None]:
    """Return the split that a list beside the captions file names, and the pictures in it."""
    name = _FLICKR8K_SPLITS.get(source.split, source.split)
    if source.split == ALL:
        return ALL, None
    listed = source.path.with_name(f"Flickr_8k.{name}Images.txt")
    if not listed.is_file():
        return None, None
    return source.split, {*listed.read_text(encoding="utf-8-sig").split("\n")}


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
            captions = [Caption(_text(sentence["raw"])) for sentence in image["sentences"]]
        except (AttributeError, KeyError, TypeError):
            gathered.misfits.add(UNREADABLE, f"images[{number}]")
            continue
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
    for number, image in enumerate(source.json["images"]):
        try:
            name, of_image = _text(image["file_name"]), captions.pop(image["id"], [])
        except (AttributeError, KeyError, TypeError):
            gathered.misfits.add(UNREADABLE, f"images[{number}]")
            continue
        _hand_in(gathered, name, of_image)
    for image_id, some in captions.items():
        for _ in some:
            gathered.misfits.add(NO_PICTURE, f"image_id {image_id}")


def _read_shards(source: Source, gathered: Gathered) -> None:
    for shard in source.shards:
        with tarfile.open(shard, "r:") as archive:
            for key, members in samples(archive):
                _read_sample(f"{shard.stem}/{key}", shard, members, gathered)


def samples(archive: tarfile.TarFile) -> Iterator[tuple[str, dict[str, tarfile.TarInfo]]]:
    """
    Yield of each sample its key, up to a name's first dot, and by what follows its members.

    Raises:
        TarError: the archive breaks off; what comes before is yielded first.
    """
    found: dict[str, dict[str, tarfile.TarInfo]] = {}
    broken: tarfile.TarError | None = None
    try:
        for member in archive:
            folder, _, name = member.name.rpartition("/")
            stem, _, extension = name.partition(".")
            if member.isreg() and stem and extension:
                key = f"{folder}/{stem}".lstrip("./")
                found.setdefault(key, {})[extension.lower()] = member
    except tarfile.TarError as error:
        broken = error
    yield from found.items()
    if broken is not None:
        raise broken


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


def picture_of(members: dict[str, tarfile.TarInfo]) -> tarfile.TarInfo | None:
    """Return the picture of a sample, if it has one."""
    return next((each for end, each in members.items() if is_picture(f".{end}")), None)


def sample_captions(shard: Path, members: dict[str, tarfile.TarInfo]) -> Iterator[Caption]:
    """
    Yield those of `txt` and of `de.txt`, and without any that of `json`.

    Raises:
        ValueError, RecursionError, RejectedImage: they cannot be read.
    """
    texts = {end: each for end, each in members.items() if end == "txt" or end.endswith(".txt")}
    for end, member in texts.items():
        text = read_member(shard, member.offset_data, member.size).decode("utf-8-sig")
        language = end.removesuffix("txt").strip(".")
        yield from (Caption(line, language) for line in _lines(text))
    if not texts and "json" in members:
        caption = sample_json(shard, members).get("caption")
        if isinstance(caption, str) and caption.strip():
            yield Caption(caption)


def sample_json(shard: Path, members: dict[str, tarfile.TarInfo]) -> dict[str, Any]:
    """Return what a sample's `json` says, {} where it has none; ValueError, RecursionError."""
    if "json" not in members:
        return {}
    member = members["json"]
    return _object(json.loads(read_member(shard, member.offset_data, member.size)))


def read_member(shard: Path, offset: int, size: int) -> bytes:
    """Return the bytes of a member; RejectedImage where they are more than any picture has."""
    with shard.open("rb") as file:
        file.seek(offset)
        return bounded(file.read(min(size, MAX_PICTURE_BYTES + 1)))


def _read_text_files(source: Source, gathered: Gathered) -> None:
    pictures: list[str] = []
    for folder, names in _folders_within(source.path):
        by_stem = {Path(name).stem: folder + name for name in names if is_picture(name)}
        pictures += by_stem.values()
        for words in (name for name in names if name.endswith(".txt")):
            _read_text_file(source.path, folder + words, by_stem, gathered)
    captioned = {picture.name for picture in gathered.captioned()}
    for name in pictures:
        if name not in captioned:
            gathered.misfits.add(NO_CAPTION, name)


def _count_uncaptioned(folder: Path, gathered: Gathered) -> None:
    captioned = {picture.name.rpartition("/")[2] for picture in gathered.captioned()}
    for path in sorted(folder.iterdir()):
        if is_picture(path.name) and path.name not in captioned:
            gathered.misfits.add(NO_CAPTION, path.name)


def _read_text_file(root: Path, words: str, by_stem: Mapping[str, str], gathered: Gathered) -> None:
    """Hand in the captions of the file *words*, of the picture of its stem."""
    stem, language = PurePosixPath(words).name.removesuffix(".txt"), ""
    if stem not in by_stem and (match := _NAMED_LANGUAGE.fullmatch(stem)):
        stem, language = match["stem"], match["language"]
    if stem not in by_stem:
        gathered.misfits.add(NO_PICTURE, words)
        return
    try:
        text = (root / words).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError):
        gathered.misfits.add(UNREADABLE, words)
        return
    for line in _lines(text):
        match = _LINE_OF_LANGUAGE.fullmatch(line.strip())
        if match is None:
            gathered.caption(by_stem[stem], Caption(line, language))
        elif match["text"]:  # not every stamp is translated
            gathered.caption(by_stem[stem], Caption(match["text"], match["language"]))


def _folders_within(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield *root* and each folder within it: what paths of its files begin with, their names."""
    for folder, inner, names in os.walk(root):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        within = Path(folder).relative_to(root).as_posix()
        yield "" if within == "." else f"{within}/", sorted(names)


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
    Form("tar shards", lambda source: bool(source.shards), _read_shards),
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
            for pattern in _ANY_CAPTIONS_FILES:
                files |= {folder / within / name: None for name in fnmatch.filter(names, pattern)}
    return [*files, *([folder] if has_texts else [])]


def _are_captioned(names: Sequence[str]) -> bool:
    """Return whether any of the files *names* is a picture that a .txt of its name lies beside."""
    texts = {name.partition(".")[0] for name in names if name.endswith(".txt")}
    return any(is_picture(name) and name.partition(".")[0] in texts for name in names)


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
    except (OSError, ValueError, RecursionError, csv.Error, tarfile.TarError) as error:
        raise unreadable(source.path, f"cannot be read: {error}") from error


def _captions_file(path: Path) -> Path:
    """Return the captions file that a folder is read by, or *path*."""
    if not path.is_dir():
        return path
    for pattern in _CAPTIONS_FILES:
        match sorted(path.glob(pattern)):
            case [file]:
                return file
            case [_, _, *_] as several:
                names = ", ".join(file.name for file in several)
                raise unreadable(path, f"holds several captions files, name one of them: {names}")
    return path


def _why_none(gathered: Gathered, is_of_a_form: bool) -> str:
    what = "; ".join(map(str, gathered.misfits)) or "it holds no captions"
    why = f"has no captioned picture: {what}" if is_of_a_form else "is no captioned set"
    return f"{why}; what can be read: {', '.join(form.name for form in FORMS)}"
