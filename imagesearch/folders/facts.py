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


def _facts(blocks: Blocks) -> PictureFacts:
    said = Exif(blocks.exif)
    # A TIFF has the other two in tags of its own.
    records = iptc_fields(
        blocks.iptc or said.bytes_of(exif.IPTC) or iptc_of_photoshop(said.bytes_of(exif.PHOTOSHOP))
    )
    document = xmp_fields(blocks.xmp or said.bytes_of(exif.XMP))

    def of_iptc(number: int) -> str:
        return next(iter(records.get(number, ())), "")

    def of_xmp(name: str) -> str:
        return next(iter(document.get(name, ())), "")

    titles = (
        *(of_xmp(xmp.TITLE), of_iptc(iptc.TITLE), said.wide_text(exif.XP_TITLE)),
        *(of_xmp(xmp.HEADLINE), of_iptc(iptc.HEADLINE)),
        *(of_xmp(xmp.DESCRIPTION), of_iptc(iptc.CAPTION), said.text(exif.DESCRIPTION)),
        *(said.wide_text(exif.XP_SUBJECT), said.comment(), said.wide_text(exif.XP_COMMENT)),
    )
    users = (
        ", ".join(document.get(xmp.CREATOR, ())),
        ", ".join(records.get(iptc.BYLINE, ())),
        said.text(exif.ARTIST),
        said.wide_text(exif.XP_AUTHOR),
    )
    licences = (of_xmp(xmp.RIGHTS), of_iptc(iptc.COPYRIGHT), said.text(exif.COPYRIGHT))
    dates = (
        *(said.text(exif.TAKEN), of_iptc(iptc.CREATED)),
        *(of_xmp(xmp.TAKEN), of_xmp(xmp.CREATED)),
        *(said.text(exif.DIGITISED), of_xmp(xmp.DIGITISED)),
    )
    names = (
        of_xmp(xmp.CITY) or of_iptc(iptc.CITY),
        of_xmp(xmp.PROVINCE) or of_iptc(iptc.PROVINCE),
        of_xmp(xmp.COUNTRY) or of_iptc(iptc.COUNTRY),
    )
    year, month = next(filter(any, map(_date, dates)), (0, 0))
    return PictureFacts(
        year=year,
        month=month,
        camera=_camera(
            said.text(exif.MAKE) or of_xmp(xmp.MAKE), said.text(exif.MODEL) or of_xmp(xmp.MODEL)
        ),
        rating=_rating(of_xmp(xmp.RATING), said),
        title=_first(
            (title for title in titles if not _NO_TITLE.fullmatch(title.strip())),
            MAX_TITLE_CHARACTERS,
        ),
        tags=tags_of(
            [
                *document.get(xmp.SUBJECT, ()),
                *records.get(iptc.KEYWORD, ()),
                said.wide_text(exif.XP_KEYWORDS),
                *(text.rpartition("|")[2] for text in document.get(xmp.LIGHTROOM_TAGS, ())),
                *(text.rpartition("/")[2] for text in document.get(xmp.DIGIKAM_TAGS, ())),
                *document.get(xmp.PEOPLE, ()),
            ]
        ),
        user=_first(users, MAX_USER_CHARACTERS),
        licence=_first(licences, MAX_LICENCE_CHARACTERS),
        place=_place(said.place, of_xmp(xmp.LATITUDE), of_xmp(xmp.LONGITUDE)),
        place_names=tuple(filter(None, map(one_tag, names))),
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
