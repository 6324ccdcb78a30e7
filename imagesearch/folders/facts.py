"""What a picture's file says of the picture: EXIF, IPTC and XMP in one (decision 0077)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from imagesearch.domain.foreign_text import one_line
from imagesearch.domain.keywords import is_visible
from imagesearch.domain.picture_facts import (
    MAX_CAMERA_CHARACTERS,
    MAX_LICENCE_CHARACTERS,
    MAX_RATING,
    MAX_TITLE_CHARACTERS,
    MAX_USER_CHARACTERS,
    REJECTED,
    PictureFacts,
    date_within_bounds,
    one_tag,
    place_within_bounds,
    tags_of,
)
from imagesearch.folders import exif, iptc, xmp
from imagesearch.folders.blocks import Blocks, blocks_of, iptc_of_photoshop
from imagesearch.folders.exif import Exif
from imagesearch.folders.iptc import iptc_fields
from imagesearch.folders.xmp import xmp_fields

_NOTHING = Blocks()
# 2012:05:31 of EXIF, 20120531 of IPTC, 2012-05-31T… and 2012 of XMP; 00 is a month unknown.
_DATE = re.compile(r"\s*([0-9]{4})(?:[-:/. ]?([0-9]{2}))?(?![0-9]{3})")
_DEGREES = re.compile(r"([0-9]{1,3}),([0-9.]{1,20})(?:,([0-9.]{1,20}))?([NSEW])", re.IGNORECASE)
_PERCENTS = ((99, 5), (75, 4), (50, 3), (25, 2), (1, 1))
# What no person wrote: cameras' names of themselves, programs' data, names of files.
_NO_TITLE = re.compile(
    r"(?-i:[A-Z0-9 ]*DIGITAL (STILL )?CAMERA)|sony dsc|dsc|dcim.*|default|untitled|\{.*|<.*"
    r"|created with .*|\S+\.(jpe?g|png|webp|heic|avif|tiff?|gif|bmp)"
    r"|(img|dsc[nf]?|pxl|p|image|photo)?[-_ ]?[0-9_]+",
    re.IGNORECASE | re.DOTALL,
)
# Words of names that programs give, and of copies.
_NO_WORDS = frozenset(
    "img dsc dscn dscf pxl mvimg vid gopr dji image images photo picture scan screenshot whats app"
    " signal telegram facebook fbimg file copy kopie copie copia edited untitled unnamed burst"
    " jpg jpeg png webp thumb final new".split()
)
# As cameras and telephones write them; in other letters they are a person's.
_MARKS = frozenset("PORTRAIT NIGHT COVER SMALL LARGE MEDIUM".split())
_SEPARATED = re.compile(r"[\s_.,;+&()\[\]{}~#'’–—-]+")
_NUMBERED = re.compile(r"([^\W\d_]+)[0-9]{1,4}")  # horse2, Paris2019
_DIGEST = re.compile(r"[0-9a-f]{8,}")
_LONGEST_WORD = 30  # what is longer is a digest, or no name of anything


def facts_of(data: bytes) -> PictureFacts:
    """
    Return what the JPEG, PNG, WebP, TIFF, AVIF, MPO or HEIC file in *data* says of its picture.

    No pixel is decoded and nothing is imported for it. It never raises: of a file that is damaged,
    or is no picture, what can be read is returned, which may be nothing.
    """
    blocks = blocks_of(data)
    return PictureFacts() if blocks == _NOTHING else _facts(blocks)


def facts_of_xmp(data: bytes) -> PictureFacts:
    """Return what the XMP file in *data* says of the picture that it lies beside; never raises."""
    return _facts(Blocks(xmp=data))


def title_of_name(path: str) -> str:
    """
    Return what the name of the file at *path* says of its picture, in words; "" where nothing.

    Of `2019/horses_in_snow-03.jpg` that is "horses in snow", of `horse2.png` "horse", and of
    `IMG_2031.jpg` nothing: numbers and words that cameras and programs write are no words of a
    person.
    """
    stem = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", PurePosixPath(path).stem)
    words = [word for word in map(_without_number, _SEPARATED.split(stem)) if word.isalpha()]
    said = [
        word
        for word in words
        if word.lower() not in _NO_WORDS and word not in _MARKS and len(word) <= _LONGEST_WORD
    ]
    # Two Latin letters alone are a code as often as a word; other scripts say more in fewer.
    if not any(len(word) > 2 or not word.isascii() for word in said):
        return ""
    return one_line(" ".join(said), MAX_TITLE_CHARACTERS)


def _without_number(word: str) -> str:
    """Return *word* without the number at its end, unless it is a camera's or a digest."""
    numbered = _NUMBERED.fullmatch(word)
    is_code = word.isupper() or _DIGEST.fullmatch(word)
    return numbered[1] if numbered and not is_code else word


class _Records:
    """
    The records in a picture's file.

    Attributes:
        exif, iptc, xmp: what each says, by tags, by numbers and by names.
    """

    def __init__(self, blocks: Blocks) -> None:
        self.exif = said = Exif(blocks.exif)
        # A TIFF has the other two in tags of its own.
        self.iptc = iptc_fields(
            blocks.iptc
            or said.bytes_of(exif.IPTC)
            or iptc_of_photoshop(said.bytes_of(exif.PHOTOSHOP))
        )
        self.xmp = xmp_fields(blocks.xmp or said.bytes_of(exif.XMP))

    def of_iptc(self, number: int) -> str:
        """Return the first text of *number*; "" where there is none."""
        return next(iter(self.iptc.get(number, ())), "")

    def of_xmp(self, name: str) -> str:
        """Return the first text of *name*; "" where there is none."""
        return next(iter(self.xmp.get(name, ())), "")


def _facts(blocks: Blocks) -> PictureFacts:
    said = _Records(blocks)
    year, month = next(filter(any, map(_date, _dates(said))), (0, 0))
    titles = (title for title in _titles(said) if not _NO_TITLE.fullmatch(title.strip()))
    make = said.exif.text(exif.MAKE) or said.of_xmp(xmp.MAKE)
    model = said.exif.text(exif.MODEL) or said.of_xmp(xmp.MODEL)
    return PictureFacts(
        year=year,
        month=month,
        camera=_camera(make, model),
        rating=_rating(said.of_xmp(xmp.RATING), said.exif),
        title=_first(titles, MAX_TITLE_CHARACTERS),
        tags=tags_of(_tags(said)),
        user=_first(_users(said), MAX_USER_CHARACTERS),
        licence=_first(_licences(said), MAX_LICENCE_CHARACTERS),
        place=_place(said.exif.place, said.of_xmp(xmp.LATITUDE), said.of_xmp(xmp.LONGITUDE)),
        place_names=tuple(filter(None, map(one_tag, _place_names(said)))),
    )


# What each record says of one fact, in the order in which it is believed


def _titles(said: _Records) -> tuple[str, ...]:
    return (
        *(said.of_xmp(xmp.TITLE), said.of_iptc(iptc.TITLE), said.exif.wide_text(exif.XP_TITLE)),
        *(said.of_xmp(xmp.HEADLINE), said.of_iptc(iptc.HEADLINE)),
        *(said.of_xmp(xmp.DESCRIPTION), said.of_iptc(iptc.CAPTION)),
        *(said.exif.text(exif.DESCRIPTION), said.exif.wide_text(exif.XP_SUBJECT)),
        *(said.exif.comment(), said.exif.wide_text(exif.XP_COMMENT)),
    )


def _users(said: _Records) -> tuple[str, ...]:
    return (
        ", ".join(said.xmp.get(xmp.CREATOR, ())),
        ", ".join(said.iptc.get(iptc.BYLINE, ())),
        said.exif.text(exif.ARTIST),
        said.exif.wide_text(exif.XP_AUTHOR),
    )


def _licences(said: _Records) -> tuple[str, ...]:
    copyrights = (said.of_iptc(iptc.COPYRIGHT), said.exif.text(exif.COPYRIGHT))
    return (said.of_xmp(xmp.RIGHTS), *copyrights)


def _dates(said: _Records) -> tuple[str, ...]:
    return (
        *(said.exif.text(exif.TAKEN), said.of_iptc(iptc.CREATED)),
        *(said.of_xmp(xmp.TAKEN), said.of_xmp(xmp.CREATED)),
        *(said.exif.text(exif.DIGITISED), said.of_xmp(xmp.DIGITISED)),
    )


def _tags(said: _Records) -> list[str]:
    return [
        *said.xmp.get(xmp.SUBJECT, ()),
        *said.iptc.get(iptc.KEYWORD, ()),
        said.exif.wide_text(exif.XP_KEYWORDS),
        *(text.rpartition("|")[2] for text in said.xmp.get(xmp.LIGHTROOM_TAGS, ())),
        *(text.rpartition("/")[2] for text in said.xmp.get(xmp.DIGIKAM_TAGS, ())),
        *said.xmp.get(xmp.PEOPLE, ()),
    ]


def _place_names(said: _Records) -> tuple[str, ...]:
    return (
        said.of_xmp(xmp.CITY) or said.of_iptc(iptc.CITY),
        said.of_xmp(xmp.PROVINCE) or said.of_iptc(iptc.PROVINCE),
        said.of_xmp(xmp.COUNTRY) or said.of_iptc(iptc.COUNTRY),
    )


def _first(texts: Iterable[str], most: int) -> str:
    """Return the first of *texts* in which there is anything to see, as one line."""
    return next(filter(is_visible, (one_line(text, most) for text in texts)), "")


def _date(text: str) -> tuple[int, int]:
    """Return year and month as a camera's clock had them; 0 and 0 where *text* is no date."""
    date = _DATE.match(text)
    return date_within_bounds(int(date[1]), int(date[2] or 0)) if date else (0, 0)


def _camera(make: str, model: str) -> str:
    """Return make and model; a model that begins with a word of its make says who made it."""
    make, model = (one_line(text, MAX_CAMERA_CHARACTERS) for text in (make, model))
    says_make = model and model.split()[0].casefold() in make.casefold().split()
    return one_line(model if says_make else f"{make} {model}", MAX_CAMERA_CHARACTERS)


def _rating(text: str, said: Exif) -> int:
    """Return what XMP says, or else EXIF, whose older programs know a percentage alone."""
    percent = said.number(exif.RATING_PERCENT)
    by_percent = next((stars for least, stars in _PERCENTS if percent >= least), 0)
    stars = (_whole(text), said.number(exif.RATING), by_percent)
    return next((each for each in stars if each and REJECTED <= each <= MAX_RATING), 0)


def _whole(text: str) -> int:
    number = re.fullmatch(r"(-?[0-9])(\.0*)?", text)
    return int(number[1]) if number else 0


def _place(
    of_exif: tuple[float, float] | None, latitude: str, longitude: str
) -> tuple[float, float] | None:
    if of_exif and (place := place_within_bounds(*of_exif)):
        return place
    north, east = _degrees(latitude, "NS"), _degrees(longitude, "EW")
    return None if north is None or east is None else place_within_bounds(north, east)


def _degrees(text: str, sides: str) -> float | None:
    """Return what XMP writes as 52,31.2N or 52,31,12N, in degrees."""
    parts = _DEGREES.fullmatch(text)
    if parts is None or parts[4].upper() not in sides:
        return None
    try:
        degrees = int(parts[1]) + float(parts[2]) / 60 + float(parts[3] or 0) / 3_600
    except ValueError:  # 1.2.3
        return None
    return -degrees if parts[4].upper() == sides[1] else degrees
