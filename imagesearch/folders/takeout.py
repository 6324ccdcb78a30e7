"""Folders of Google Takeout: which JSON file belongs to which picture, and what it says.

Names are cut, counted and translated in ways that Google documents nowhere. The rules here were
gathered from archives that people describe, of the years 2019 to 2026; where they leave two
pictures for one file, neither gets it: no facts are better than another picture's.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePath
from typing import Any

from imagesearch.domain.foreign_text import one_line
from imagesearch.domain.keywords import is_visible
from imagesearch.domain.picture_facts import (
    MAX_RATING,
    MAX_TITLE_CHARACTERS,
    PictureFacts,
    date_within_bounds,
    one_tag,
    place_within_bounds,
    tags_of,
)

MAX_SIDECAR_BYTES = 1_000_000  # those of pictures have some 1,000, of shared albums some 100,000
MAX_PEOPLE = 50

_SUPPLEMENT = ".supplemental-metadata"
_CUT = 46  # UTF-16 units of a JSON file's name before .json, a counter not among them
_CUT_MEDIA = 51  # and of a media file's with its suffix
_SLACK = 1  # half of a pair of units is never left alone
_VIDEOS = (".mp4", ".mov", ".m4v", ".mp", ".mv", ".3gp", ".avi", ".mkv", ".webm")
_PICTURES = (
    *(".heic", ".heif", ".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff"),
    *(".jpe", ".jfif", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"),
)
_MEDIA = (*_PICTURES, *_VIDEOS)  # whose sidecar others share comes first
_DERIVED = (
    *("-edited", "-bearbeitet", "-modifié", "-modificato", "-modificata", "-editado", "-editada"),
    *("-ha editado", "-editat", "-edytowane", "-bewerkt", "-編集済み", "-编辑", "-已編輯"),
    *("-effects", "-smile", "-mix", "-collage", "-animation", "-motion"),
)
_COUNTED = re.compile(r"(.*?)(\([0-9]+\))?", re.DOTALL)

_ALBUM_FILES = {
    *("metadata", "metadaten", "metadati", "métadonnées", "метаданные", "metadatos", "metadados"),
    *("metadáta", "metadane", "metagegevens", "メタデータ", "메타데이터", "元数据", "中繼資料"),
}
_YEAR_FOLDER = re.compile(
    r"(photos (from|de)|fotos? (von|del?|dal?|dai|di)|fotografías del?|foto's (van|uit)|zdjęcia z"
    r"|(bilder|foton?) (från|fra)|(valo)?kuv(at|ia) vuodelta|fotoğraflar"
    r"|(fotók|fényképek)( innen:)?|billeder fra|фото(графии)? (за|от)|fotografii din|fotky z"
    r"|fotografie z) [0-9]{4}"
    r"( г\.?| года?| roku)?|[0-9]{4} ?(年の写真|年的照片|年的相片|년의? ?사진)"
    r"|[0-9]{4}( yılı(ndan|na ait)?)? fotoğraf(lar|ları)|[0-9]{4}-[aeoö]s (fotók|fényképek)"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}( ?#[0-9]+|-[0-9]{4}-[0-9]{2}-[0-9]{2})?",  # of old: a day's
    re.IGNORECASE,
)
# As archives are unpacked side by side: by a Mac the second one into `Takeout 2`.
_TAKEOUT = re.compile(r"Takeout([ -]?\(?[0-9]{1,3}\)?)?", re.IGNORECASE)
_OF_A_PICTURE = {"photoTakenTime", "creationTime", "imageViews"}
_OF_AN_ALBUM = {"date", "access", "description"}
_SECONDS = re.compile(r"-?[0-9]{1,12}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Sidecar:
    """What a JSON file says of its picture; *is_trashed* is true where its owner threw it away."""

    facts: PictureFacts
    is_trashed: bool = False


# --- names ---------------------------------------------------------------------------------------


def sidecars(names: Iterable[str]) -> dict[str, str]:
    """
    Return the JSON file of each media file that has one, of the *names* of all files of a folder.

    An edited copy without one of its own has its original's, a live photo's video has its
    picture's.
    """
    given = {unicodedata.normalize("NFC", name): name for name in names}
    index = _Index(name for name in given if name.lower().endswith(".json"))
    media = sorted(name for name in given if not name.lower().endswith(".json"))
    own_sidecars = _without_doubt({name: own for name in media if (own := index.own(name))})
    taken = set(own_sidecars.values())
    for name in media:
        if name not in own_sidecars and (borrowed := index.borrowed(name, taken)):
            own_sidecars[name] = borrowed
    return {given[name]: given[sidecar] for name, sidecar in own_sidecars.items()}


def united_sidecars(parts: Sequence[Collection[str]]) -> list[dict[str, tuple[int, str]]]:
    """
    Return the same of one folder in *parts*, each with the names of the files that it has.

    A JSON file is told by the part that it lies in, and its name. Where parts have a name in
    common, they are of several archives: then what lies beside a picture goes before, and of the
    others nothing counts that has the name of another file.
    """
    counts = Counter(name for names in parts for name in names if not is_album_file(name))
    where = {name: n for n, names in enumerate(parts) for name in names if counts[name] == 1}
    united = {media: (where[name], name) for media, name in sidecars(where).items()}
    sidecars_of_parts: list[dict[str, tuple[int, str]]] = []
    for n, names in enumerate(parts):
        own = {media: (n, name) for media, name in sidecars(names).items()}
        of_part = {media: place for media, place in united.items() if where[media] == n}
        sidecars_of_parts.append(of_part if len(where) == counts.total() else of_part | own)
    return sidecars_of_parts


def path_in_takeout(folder: str) -> str:
    """Return the path of a folder below the last `Takeout` in its own; "" where it has none."""
    names = folder.split("/")
    places = [place for place, name in enumerate(names) if _TAKEOUT.fullmatch(name)]
    return "/".join(names[places[-1] + 1 :]) if places else ""


def _without_doubt(sidecars_of_media: dict[str, str]) -> dict[str, str]:
    """Return *sidecars_of_media* without the sidecars whose cut names two pictures could have."""
    claims: dict[str, list[str]] = defaultdict(list)
    for name, sidecar in sidecars_of_media.items():
        claims[sidecar].append(name)
    kept = {}
    for sidecar, names in claims.items():
        bases = {_base(name) for name in names}
        # Of what is left of -edited, cut, its original is among them.
        whole = {_base(name) for name in names if bases.isdisjoint(map(_base, _originals(name)))}
        if len(whole) <= 1:
            kept.update(dict.fromkeys(names, sidecar))
    return kept


class _Index:
    """The JSON files of a folder, by what they may belong to."""

    def __init__(self, names: Iterable[str]) -> None:
        self._by_title: dict[tuple[str, str], str] = {}
        self._by_stem: dict[tuple[str, str], str] = {}  # those that may be cut
        self._by_base: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
        for name in sorted(names):
            if not is_album_file(name):
                self._add(name)

    def _add(self, name: str) -> None:
        stem, count = _counted(name[: -len(".json")])
        if _units(stem) >= _CUT - _SLACK:
            self._by_stem[stem, count] = name
        title, dot, rest = stem.rpartition(".")
        if not (dot and _SUPPLEMENT.startswith(dot + rest)):
            title = stem
        if not count:
            title, count = _counted(title)
        self._by_title[title, count] = name
        base, _, suffix = title.rpartition(".")
        likely = [place for place, each in enumerate(_MEDIA) if each == f".{suffix.lower()}"]
        if not likely and _units(stem) >= _CUT - _SLACK:
            likely = [n for n, each in enumerate(_MEDIA) if each.startswith(f".{suffix.lower()}")]
        if base and likely:
            self._by_base[_without_suffix(base), count].append((likely[0], name))

    def own(self, name: str) -> str | None:
        """Return the sidecar that is the media file's by its name, which may be cut."""
        path = PurePath(name)
        base, count = _counted(path.stem)
        title = base + path.suffix
        exact = self._by_title.get((name, "")) or self._by_title.get((title, count))
        if exact:
            return exact
        cut = self._cut(title, count, 0)
        if not cut and count:  # a counter that its owner wrote
            cut = self._cut(name, "", len(base + count))
        if cut or PurePath(base).suffix.lower() in _MEDIA:
            return cut
        # Google adds a suffix to media that came without.
        return self._by_title.get((base, count))

    def _cut(self, title: str, count: str, least: int) -> str | None:
        """Return the sidecar whose stem is the longest that *title* begins with."""
        whole = title + _SUPPLEMENT
        for length in range(len(whole), least, -1):
            if _units(whole[:length]) < _CUT - _SLACK:
                break
            if sidecar := self._by_stem.get((whole[:length], count)):
                return sidecar
        return None

    def borrowed(self, name: str, taken: set[str]) -> str | None:
        """Return the sidecar of what the media file was made of, or belongs to."""
        for original in _originals(name):
            if sidecar := self.own(original) or self.borrowed(original, set()):
                return sidecar
        sidecar = self._of_base(name)
        is_shared = PurePath(name).suffix.lower() in _VIDEOS
        return sidecar if is_shared or sidecar not in taken else None

    def _of_base(self, name: str) -> str | None:
        """Return the sidecar of a file that differs in its suffix, a picture's if there is one."""
        likely = self._by_base.get((_base(name), _counted(PurePath(name).stem)[1]))
        return min(likely)[1] if likely else None


def _originals(name: str) -> list[str]:
    """Return what may be the name of the file that *name* is an edited copy of."""
    path = PurePath(name)
    base, count = _counted(path.stem)
    may_be_cut = _units(base + path.suffix) >= _CUT_MEDIA - _SLACK
    originals: dict[str, None] = {}
    for suffix in _DERIVED:
        for length in range(len(suffix), 0 if may_be_cut else len(suffix) - 1, -1):
            if base.lower().endswith(suffix[:length]) and len(base) > length:
                originals[base[:-length] + count + path.suffix] = None
                break
    return list(originals)


def _counted(stem: str) -> tuple[str, str]:
    """Return *stem* without the counter at its end, and the counter: `(1)`, or ""."""
    parts = _COUNTED.fullmatch(stem)
    assert parts is not None  # noqa: S101 - it takes all
    return parts[1], parts[2] or ""


def _base(name: str) -> str:
    """Return a media file's name without its suffixes and its counter."""
    return _without_suffix(_counted(PurePath(name).stem)[0])


def _without_suffix(base: str) -> str:
    """Return *base* without the .MP of a Pixel's motion picture, as in PXL_1.MP.jpg."""
    path = PurePath(base)
    return path.stem if path.suffix.lower() in _MEDIA else base


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def is_album_file(name: str) -> bool:
    """Return whether a file of this name says what album its folder is."""
    stem, dot, suffix = unicodedata.normalize("NFC", name).casefold().rpartition(".")
    return bool(dot) and suffix == "json" and _counted(stem)[0] in _ALBUM_FILES


def is_year_folder(name: str) -> bool:
    """Return whether a folder of this name has the pictures of a year, or a day: it is no album."""
    return _YEAR_FOLDER.fullmatch(unicodedata.normalize("NFC", name).strip()) is not None


# --- contents ------------------------------------------------------------------------------------


def read_sidecar(data: bytes) -> Sidecar | None:
    """Return what the JSON file in *data* says of its picture; None where it is no picture's."""
    said = _object(data)
    if not _OF_A_PICTURE & said.keys():
        return None
    year, month = _taken(said.get("photoTakenTime"))
    description = one_line(said.get("description"), MAX_TITLE_CHARACTERS)
    people = said.get("people")
    names = (
        [_of(person, "name") for person in people[:MAX_PEOPLE]] if isinstance(people, list) else []
    )
    facts = PictureFacts(
        year=year,
        month=month,
        rating=MAX_RATING if said.get("favorited") is True else 0,
        title=description if is_visible(description) else "",
        tags=tags_of(map(one_tag, names)),
        place=_place(said.get("geoData")) or _place(said.get("geoDataExif")),
    )
    return Sidecar(facts, said.get("trashed") is True)


def album_title(data: bytes) -> str:
    """
    Return the title of the album that the JSON file in *data* is about, as a tag.

    It is "" where it is about a picture, a year's folder, or nothing that is known.
    """
    said = _object(data)
    album = said.get("albumData", said.get("albumdata", said))  # of old it was wrapped
    is_picture = bool(_OF_A_PICTURE & said.keys())
    if is_picture or not isinstance(album, dict) or not _OF_AN_ALBUM & album.keys():
        return ""
    title = one_tag(album.get("title"))
    return "" if is_year_folder(title) else title


def _object(data: bytes) -> dict[str, Any]:
    """Return the JSON object that *data* is; an empty one where it is none, or too long."""
    if len(data) > MAX_SIDECAR_BYTES:
        return {}
    try:
        said = json.loads(data.decode("utf-8-sig", "replace"), strict=False)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _of(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None


def _taken(time: object) -> tuple[int, int]:
    """Return year and month, in UTC, of a text of seconds; 0 seconds is unknown."""
    seconds = str(_of(time, "timestamp"))
    if not _SECONDS.fullmatch(seconds) or int(seconds) == 0:
        return 0, 0
    try:
        taken = _EPOCH + timedelta(seconds=int(seconds))
    except OverflowError:
        return 0, 0
    return date_within_bounds(taken.year, taken.month)


def _place(geo: object) -> tuple[float, float] | None:
    latitude, longitude = _of(geo, "latitude"), _of(geo, "longitude")
    if isinstance(latitude, int | float) and isinstance(longitude, int | float):
        return place_within_bounds(latitude, longitude)
    return None
