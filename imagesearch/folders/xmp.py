"""The fields of XMP that are of use, read by the XML parser of the standard library.

A document with a DTD is refused, and so no entity is ever expanded; what a parser could else be
made to do is bounded by the bytes that it is given and by how deep they nest. What was read of a
document that is damaged or cut is kept. Source: ISO 16684-1.
"""

from __future__ import annotations

from contextlib import suppress
from xml.parsers import expat

MAX_BYTES = 262_144  # Photoshop's histories are longer, and come last
MAX_DEPTH = 32
MAX_ITEMS = 1_000
MAX_CHARACTERS = 4_000  # of one item

_DC = "http://purl.org/dc/elements/1.1/ "
_XMP = "http://ns.adobe.com/xap/1.0/ "
_PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/ "
_EXIF = "http://ns.adobe.com/exif/1.0/ "
_TIFF = "http://ns.adobe.com/tiff/1.0/ "
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns# "
_LANGUAGE = "http://www.w3.org/XML/1998/namespace lang"

TITLE, DESCRIPTION, SUBJECT = _DC + "title", _DC + "description", _DC + "subject"
CREATOR, RIGHTS = _DC + "creator", _DC + "rights"
HEADLINE, CREATED = _PHOTOSHOP + "Headline", _PHOTOSHOP + "DateCreated"
CITY, PROVINCE, COUNTRY = (_PHOTOSHOP + name for name in ("City", "State", "Country"))
RATING, DIGITISED = _XMP + "Rating", _XMP + "CreateDate"
TAKEN = _EXIF + "DateTimeOriginal"
LATITUDE, LONGITUDE = _EXIF + "GPSLatitude", _EXIF + "GPSLongitude"
MAKE, MODEL = _TIFF + "Make", _TIFF + "Model"
LIGHTROOM_TAGS = "http://ns.adobe.com/lightroom/1.0/ hierarchicalSubject"
DIGIKAM_TAGS = "http://www.digikam.org/ns/1.0/ TagsList"
PEOPLE = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/ PersonInImage"
_WANTED = {
    *(TITLE, DESCRIPTION, SUBJECT, CREATOR, RIGHTS, HEADLINE, CREATED, RATING, DIGITISED, TAKEN),
    *(CITY, PROVINCE, COUNTRY),
    *(LATITUDE, LONGITUDE, MAKE, MODEL, LIGHTROOM_TAGS, DIGIKAM_TAGS, PEOPLE),
}


class _RefusedError(ValueError):
    pass


def xmp_fields(data: bytes) -> dict[str, list[str]]:
    """
    Return the texts of each wanted field, by name; of several languages, the default comes first.

    It never raises.
    """
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    # ValueError: an encoding that Python does not know; a name with halves of surrogate pairs.
    with suppress(expat.ExpatError, ValueError, LookupError):
        parser.Parse(data[:MAX_BYTES].lstrip(b"\0\t\n\r "))
    return reader.fields


def _refuse(*_: object) -> None:
    raise _RefusedError


class _Reader:
    """Collects what stands right within rdf:Description, as attribute, text, list or languages."""

    def __init__(self) -> None:
        self.fields: dict[str, list[str]] = {}
        self._path: list[str] = []
        self._name = ""  # of the wanted field that is being read
        self._text: list[str] = []
        self._is_default = False
        self._left = MAX_ITEMS

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(name)
        if len(self._path) > MAX_DEPTH:
            raise _RefusedError
        is_within = self._path[-3:-1] == [_RDF + "RDF", _RDF + "Description"]
        if name == _RDF + "Description" and self._path[-2:-1] == [_RDF + "RDF"]:
            for attribute in _WANTED & attributes.keys():
                self._keep(attribute, attributes[attribute])
        elif is_within and name in _WANTED:
            self._name, self._text = name, []
        elif name == _RDF + "li":
            self._text, self._is_default = [], attributes.get(_LANGUAGE) == "x-default"

    def end(self, name: str) -> None:
        self._path.pop()
        if self._name and name in (self._name, _RDF + "li"):
            self._keep(self._name, "".join(self._text))
            self._text, self._is_default = [], False
        if name == self._name:
            self._name = ""

    def characters(self, text: str) -> None:
        if self._name:
            self._text.append(text[:MAX_CHARACTERS])

    def _keep(self, name: str, text: str) -> None:
        text = text[:MAX_CHARACTERS].strip()
        if text and self._left:
            self._left -= 1
            place = 0 if self._is_default else MAX_ITEMS
            self.fields.setdefault(name, []).insert(place, text)
