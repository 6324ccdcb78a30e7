"""What a request for `/search` asks: of its query string, and of a body in JSON or as a form.

The bounds of each parameter are in `http_api.py`; this reads them from werkzeug's request, which
both editions have.
"""

from __future__ import annotations

import json
from collections.abc import Sequence, Set
from io import BytesIO
from typing import IO, Any
from urllib.parse import unquote_to_bytes

from flask import Request
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from imagesearch.domain.errors import InvalidRequest, TooLarge
from imagesearch.domain.queries import MAX_PICTURE_BYTES, MAX_TEXT_BYTES, SearchRequest
from imagesearch.doors.bodies import Bound, InHand
from imagesearch.doors.http_api import (
    FLAGS,
    NAMES,
    NUMBERS,
    PICTURES,
    REPEATABLE,
    parse_search,
)

SEARCH_PATH = "/search"
PICTURE_SECONDS = 30.0  # 10 MB from a telephone, at 3 Mbit/s
# werkzeug reads chunks of 64 KiB, and holds what is left of one and the next to its limit of texts.
_MAX_BUFFER_BYTES = 3 * 65_536
_MAX_FORM_PARTS = 50  # more than there are parameters, repeated ones counted
_MARK_OF_A_LINK = "utm_"  # what others add to links, to count where visitors come from
_JSON, _FORM = "application/json", "multipart/form-data"
_KINDS = {str: "a text", bool: "true or false", int: "a number", float: "a number"}  # of JSON


def search_bound(in_hand_bytes: int) -> Bound:
    """Return what the body of a search may be, and all of them at a time in *in_hand_bytes*."""
    return Bound(
        MAX_TEXT_BYTES + MAX_PICTURE_BYTES,
        PICTURE_SECONDS,
        InHand(in_hand_bytes),
        f", {' and '.join(PICTURES)} {MAX_PICTURE_BYTES} together",
        PICTURES[0],
    )


def asked_of(request: Request) -> SearchRequest:
    """Return the search that *request* asks for, or raise InvalidRequest, of which TooLarge is."""
    in_body, pictures = _of_body(request) if request.method == "POST" else ({}, {})
    in_url = _of_url(request)
    values = {name: [*in_url.get(name, ()), *in_body.get(name, ())] for name in in_url | in_body}
    repeated = {name: values.pop(name) for name in REPEATABLE if name in values}
    args = {name: text for name, texts in values.items() if (text := _given_once(name, texts))}
    return parse_search(args, repeated, pictures)


def _of_url(request: Request) -> dict[str, list[str]]:
    _check_is_text(request.query_string)
    values = request.args.to_dict(flat=False)
    asked = {name: values[name] for name in values if not name.startswith(_MARK_OF_A_LINK)}
    for name in asked:
        _check_name(name)
    return asked


def _check_is_text(query_string: bytes) -> None:
    """Refuse bytes that are no UTF-8, for which werkzeug puts in a sign of replacement."""
    for pair in query_string.split(b"&"):
        name = unquote_to_bytes(pair.partition(b"=")[0]).decode(errors="backslashreplace")[:64]
        try:
            unquote_to_bytes(pair).decode()
        except UnicodeDecodeError:
            if not name.startswith(_MARK_OF_A_LINK):
                got = pair.partition(b"=")[2][:64].decode("latin-1")
                message = f"{name} must be Unicode, in UTF-8, got {got!a}"
                raise InvalidRequest(message, field=name) from None


def _given_once(name: str, texts: Sequence[str]) -> str:
    """Return what *texts* say, all that came under *name* from wherever; blank ones say nothing."""
    said = list(dict.fromkeys(text.strip() for text in texts if text.strip()))
    if len(said) > 1:
        several = " and ".join(repr(text[:64]) for text in said[:2])
        raise InvalidRequest(f"{name} must be given once, got {several}", field=name)
    return said[0] if said else ""


def _of_body(request: Request) -> tuple[dict[str, list[str]], dict[str, bytes]]:
    if request.mimetype == _FORM:
        return _of_form(request)
    data = request.get_data()
    if len(data) > MAX_TEXT_BYTES:
        bound = f"a body without a picture must have at most {MAX_TEXT_BYTES} bytes"
        raise TooLarge(f"{bound}, got {len(data)}")
    if not data:
        return {}, {}
    if request.mimetype != _JSON:
        bound = f"Content-Type must be {_JSON} or {_FORM}"
        raise InvalidRequest(f"{bound}, got {request.mimetype[:64]!r}", field="Content-Type")
    return _of_json(data), {}


def _of_form(request: Request) -> tuple[dict[str, list[str]], dict[str, bytes]]:
    parser = FormDataParser(
        _in_memory,
        max_form_memory_size=_MAX_BUFFER_BYTES,
        max_form_parts=_MAX_FORM_PARTS,
        silent=False,
    )
    try:
        _, form, files = parser.parse(
            request.stream, request.mimetype, request.content_length, request.mimetype_params
        )
        if sum(len(text.encode()) for _, text in form.items(multi=True)) > MAX_TEXT_BYTES:
            raise RequestEntityTooLarge
    except RequestEntityTooLarge as error:
        bound = f"a form must have at most {_MAX_FORM_PARTS} parts"
        message = f"{bound}, and {MAX_TEXT_BYTES} bytes without its pictures, got more"
        raise TooLarge(message) from error
    except ValueError as error:
        raise InvalidRequest(f"the body is no {_FORM}: {error}") from error
    for name in form:
        if name in PICTURES:
            raise InvalidRequest(f"{name} must be a file, got a text", field=name)
        _check_name(name, NAMES)
    return form.to_dict(flat=False), _pictures(files)


def _pictures(files: MultiDict[str, FileStorage]) -> dict[str, bytes]:
    pictures = {}
    for name, several in files.lists():
        # A form whose file was not chosen sends an empty one without a name.
        named = [(file.filename, file.read()) for file in several]
        chosen = [data for filename, data in named if filename or data]
        if chosen and name not in PICTURES:
            bound = f"a file must be called {' or '.join(PICTURES)}"
            raise InvalidRequest(f"{bound}, got {name[:64]!r}", field="picture")
        if len(chosen) > 1:
            raise InvalidRequest(f"{name} must be one file, got {len(chosen)}", field=name)
        if chosen:
            pictures[name] = chosen[0]
    return pictures


def _in_memory(*_: object, **__: object) -> IO[bytes]:
    """Return where a file of a form goes: werkzeug itself puts a large one on disk."""
    return BytesIO()


def _of_json(data: bytes) -> dict[str, list[str]]:
    try:
        body = json.loads(data, object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the body is no JSON: {str(error)[:100]}") from error
    if not isinstance(body, dict):
        raise InvalidRequest(f"the body must be a JSON object, got {str(body)[:64]}")
    return {name: _texts(name, value) for name, value in body.items()}


def _without_repetition(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of *pairs*; of a name given twice Python would take the last."""
    values = dict[str, Any]()
    for name, value in pairs:
        if name in values:
            both = " and ".join(json.dumps(each)[:64] for each in (values[name], value))
            message = f"{name[:64]} must be given once, got {both}"
            raise InvalidRequest(message, field=name[:64])
        values[name] = value
    return values


def _check_name(name: str, offered: Set[str] = NAMES - {"picture_weight"}) -> None:
    """
    Refuse a name that nothing reads: misspelt, it would be ignored without a word.

    Args:
        offered: the names to choose from; a picture has its weight in a form.
    """
    if name not in NAMES:
        bound = f"a parameter must be one of {', '.join(sorted(offered))}"
        raise InvalidRequest(f"{bound}, got {name[:64]!r}", field=name[:64])


def _texts(name: str, value: Any) -> list[str]:
    _check_name(name)
    if isinstance(value, list) != (name in REPEATABLE):
        bound = f"{name} must be {'a list' if name in REPEATABLE else 'one value'}"
        raise InvalidRequest(f"{bound}, got {json.dumps(value)[:64]}", field=name)
    return [_text(name, each) for each in (value if isinstance(value, list) else [value])]


def _text(name: str, value: object) -> str:
    word = "a number" if name in NUMBERS else "true or false" if name in FLAGS else "a text"
    if word != _KINDS.get(type(value)):
        raise InvalidRequest(f"{name} must be {word}, got {json.dumps(value)[:64]}", field=name)
    if isinstance(value, bool):
        return str(value).lower()
    # In JSON 3.0 is the whole number 3: https://json-schema.org/draft/2020-12/json-schema-core
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can escape
        bound = f"{name} must be Unicode"
        raise InvalidRequest(f"{bound}, got {text[:64]!a}", field=name) from None
    return text
