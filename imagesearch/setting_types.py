"""What a setting may look like: trimmed, checked and in one form, or refused with its bound.

Which settings there are is in `settings.py`.
"""

from __future__ import annotations

import ipaddress
import os
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")  # of a host's name

_QUOTES = tuple("\"'`\u00ab\u2018\u2019\u201a\u201c\u201d\u201e")

Value = TypeVar("Value")


def trimmed(value: object) -> object:
    """Return a text without the blanks and invisible characters around it, else *value*."""
    if not isinstance(value, str):
        return value
    kept = [at for at, character in enumerate(value) if not _is_blank(character)]
    return value[kept[0] : kept[-1] + 1] if kept else ""


def readable(value: Value) -> Value:
    """
    Return *value*.

    Raises:
        ValueError: it is a text with what is no character, or with a control character other than
            a tab or a line break.
    """
    for character in value if isinstance(value, str) else "":
        if unicodedata.category(character) == "Cs":  # so the system's bytes are read that are none
            raise ValueError("must be UTF-8")
        if _is_control(character):
            raise ValueError("must have no control character in it")
    return value


def _is_control(character: str) -> bool:
    return unicodedata.category(character) == "Cc" and character not in "\t\n\v\f\r"


def _is_blank(character: str) -> bool:
    # With format characters: what a page or a file adds to what is copied from it.
    is_blank = character.isspace() or unicodedata.category(character) == "Cf"
    return is_blank and not _is_control(character)


def http_url(text: str) -> str:
    """
    Return the base URL *text* in one form: scheme and host in small letters, no slash at its end.

    Raises:
        ValueError: it is no http or https URL of a host, or has a user, a query or a fragment.
    """
    bound = "must be an http:// or https:// URL in ASCII, without a user, a query or a fragment"
    if not re.fullmatch(r"[!-~]+", text) or re.search(r"[?#@\\]", text):
        raise ValueError(bound)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:  # brackets that are no IPv6 address, or no port
        raise ValueError(bound) from None
    name = parts.hostname or ""
    if parts.scheme not in _DEFAULT_PORTS or not _is_host(name):
        raise ValueError(bound)
    host = _bracketed(name) if ":" in name else name
    where = "" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{host}{where}{parts.path.rstrip('/')}"


def _bracketed(name: str) -> str:
    # As browsers write it; Python does not in every version, where an IPv4 address is inside.
    address = ipaddress.IPv6Address(name)
    if mapped := address.ipv4_mapped:
        return f"[::ffff:{int(mapped) >> 16:x}:{int(mapped) & 0xFFFF:x}]"
    return f"[{address.compressed}]"


def _host(text: str) -> str:
    name = text.removeprefix("[").removesuffix("]")  # as in a URL
    if not _is_host(name):
        raise ValueError("must be an IP address or a host's name, without scheme and port")
    return name


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        labels = text.removesuffix(".").split(".")
        is_name = len(text) <= 253 and all(map(_LABEL.fullmatch, labels))
        return is_name and not labels[-1].isdigit()  # 256.0.0.1
    return True


def _origins(text: str) -> str:
    """Return a comma list of origins as browsers send them."""
    origins = [_origin(origin) for origin in map(str.strip, text.split(",")) if origin]
    if "*" in origins and len(origins) > 1:
        raise ValueError("`*`, for every origin, must stand alone")
    return ",".join(origins)


def _origin(text: str) -> str:
    bound = (
        "must be `*`, or origins such as https://example.com, comma separated and without a path"
    )
    try:
        origin = text if text == "*" else http_url(text)
    except ValueError:
        raise ValueError(bound) from None
    if urlsplit(origin).path not in ("", "*") or "%" in origin:  # an IPv6 address' zone
        raise ValueError(bound)
    return origin


def _not_for_a_shell(text: str) -> str:
    """Return the path *text*, which nothing else than this program reads."""
    if text[:1] in _QUOTES:
        raise ValueError("must be without quotes")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text):
        raise ValueError("must be a path, and no URL")
    if re.search(r"\$[A-Za-z_{(]", text):
        raise ValueError("must be without variables such as $HOME, which are not expanded; ~ is")
    return text


def _home_expanded(text: str) -> str:
    path = os.path.expanduser(text) if text.startswith("~") else text
    if path.startswith("~"):
        raise ValueError("must be in a home folder that there is")
    return path


def _on_one_line(text: str) -> str:
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ValueError("must have no tab or line break in it")
    return text


def _certificates(text: str) -> str:
    import ssl  # here: few processes are given any

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError, TypeError):  # TypeError: it is not ASCII
        raise ValueError("must be certificates in PEM") from None
    return text


def _database_url(url: SecretStr) -> SecretStr:
    text = url.get_secret_value()
    if not re.fullmatch(r"postgres(ql)?://[!-~]+", text):
        raise ValueError("must be postgresql://USER:PASSWORD@HOST/DATABASE in ASCII")
    return url


def one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    """Return what lets a text of *choices* through, and raises ValueError with them otherwise."""

    def check(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {' '.join(choices)}")
        return text

    return check


def like(pattern: str, meaning: str) -> Callable[[str], str]:
    """Return what lets a text through that is *pattern*, else raises ValueError with *meaning*."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {meaning}")
        return text

    return check


def of_text(change: Callable[[str], str]) -> BeforeValidator:
    """Have *change* done to a text, in whatever type it ends; pydantic refuses what is none."""
    return BeforeValidator(lambda value: change(value) if isinstance(value, str) else value)


lower = of_text(str.lower)
_ONE_LINE = of_text(_on_one_line)
_PATH = of_text(_not_for_a_shell)

Lower = Annotated[Value, lower]
Upper = Annotated[Value, of_text(str.upper)]
Host = Annotated[str, AfterValidator(_host)]
Url = Annotated[str, AfterValidator(http_url)]
Origins = Annotated[str, AfterValidator(_origins)]
Checkpoint = Annotated[str, AfterValidator(_home_expanded), _PATH, _ONE_LINE]
Folder = Annotated[Path, of_text(_home_expanded), _PATH, _ONE_LINE]
Secret = Annotated[SecretStr, _ONE_LINE]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url), _ONE_LINE]
Certificates = Annotated[str, AfterValidator(_certificates)]
# https://cloud.google.com/resource-manager/docs/creating-managing-projects; old ones have a domain.
ProjectId = Annotated[
    str,
    AfterValidator(
        like(
            r"([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]",
            "a project id: 6 to 30 small letters, digits and hyphens, the first a letter",
        )
    ),
]
# https://cloud.google.com/storage/docs/buckets#naming
Bucket = Annotated[
    str,
    AfterValidator(
        like(
            r"[a-z0-9]([a-z0-9._-]{0,220}[a-z0-9])?",
            "a bucket's name without gs://: small letters, digits, -, _ and .",
        )
    ),
]
# Terraform's `name` and a hyphen.
TopicPrefix = Annotated[
    str,
    AfterValidator(
        like(
            r"[a-z][a-z0-9-]{2,18}[a-z0-9]-",
            "4 to 20 small letters, digits and hyphens, the first a letter, and a hyphen",
        )
    ),
]
# https://cloud.google.com/firestore/docs/manage-databases
Database = Annotated[
    str,
    AfterValidator(
        like(
            r"\(default\)|[a-z][a-z0-9-]{2,61}[a-z0-9]",
            "(default), or 4 to 63 small letters, digits and hyphens, the first a letter",
        )
    ),
]
