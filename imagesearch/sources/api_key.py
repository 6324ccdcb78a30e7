"""The key that an image source takes in each request, and the way to keep it out of every text.

What a source answers may repeat the request: its URL in an error, a header, a hit, a redirect.
"""

from __future__ import annotations

import html
import logging
import re
import unicodedata
from urllib.parse import unquote
from weakref import WeakSet

from pydantic import SecretStr

from imagesearch.domain.keywords import normalise_keyword

_HIDDEN = "***"
_SHORTEST = 8  # characters of a secret; the demo gallery's key is a word that its pictures hold
_PREFIX = 12  # so many of a key's first characters give it away: a text may be cut within it
_NESTED = 64  # characters that may each be the last; what follows comes as a whole
_MOST_ENCODINGS = 10  # within each other: what an honest text holds has one or two
_PARAMETER = re.compile(r"\bkey=[^&\s'\"]+")
# A filter does not see what is logged below its logger, so each one that logs URLs has it.
_LOGGERS = ("connection", "connectionpool", "poolmanager", "util.retry")


class ApiKey:
    """A key; printed, it shows nothing."""

    def __init__(self, key: str) -> None:
        self._key = SecretStr(key)
        self._forms = re.compile(_pattern(key), re.IGNORECASE) if len(key) >= _SHORTEST else None
        _LOG_FILTER.keys.add(self)
        for name in _LOGGERS:
            logging.getLogger(f"urllib3.{name}").addFilter(_LOG_FILTER)

    def reveal(self) -> str:
        """Return the key itself."""
        return self._key.get_secret_value()

    def is_in(self, text: str) -> bool:
        """
        True when *text* holds the key or most of its beginning, as anyone could read it there.

        That is plain or encoded, for a URL or for HTML, and with whatever nobody sees in between.
        """
        if self._forms is None:
            return False
        return any(self._forms.search(form) is not None for form in (text, _bare(text)))

    def hidden_in(self, text: str) -> str:
        """
        Return *text* with `***` for the key, and for the value of any parameter `key`.

        Where the key can be read although it does not stand there, `***` is all that is left.
        """
        if self._forms is not None:
            text = self._forms.sub(_HIDDEN, text)
        return _HIDDEN if self.is_in(text) else _PARAMETER.sub(f"key={_HIDDEN}", text)


def _pattern(key: str) -> str:
    """Return what matches the first `_PREFIX` characters of *key* and as many more as follow."""
    forms = [_forms(character) for character in key]
    rest = "".join(forms[_NESTED:])
    pattern = f"(?:{rest})?" if rest else ""
    for form in reversed(forms[_PREFIX:_NESTED]):
        pattern = f"(?:{form}{pattern})?"
    return "".join(forms[:_PREFIX]) + pattern


def _forms(character: str) -> str:
    """Return what matches *character*, also percent-encoded, twice or more, or as in JSON."""
    encoded = "".join(f"%(?:25)*{byte:02x}" for byte in character.encode("utf-8", "replace"))
    plain = re.escape(character) + (r"|\+" if character == " " else "")
    return rf"(?:{plain}|{encoded}|\\u{ord(character):04x})"


def _bare(text: str) -> str:
    """Return *text* decoded, without spaces, marks and whatever nobody sees."""
    for _ in range(_MOST_ENCODINGS):
        decoded = unquote(html.unescape(text))
        if decoded == text:
            break
        text = decoded
    seen = normalise_keyword(text)
    return "".join(
        character for character in seen if unicodedata.category(character)[0] not in "CMZ"
    )


class _LogFilter(logging.Filter):
    """
    Hides keys in what urllib3 logs.

    At DEBUG that is the path and the query of each request; as a warning, the URL and the text of
    headers that it cannot parse.
    """

    def __init__(self) -> None:
        super().__init__()
        self.keys: WeakSet[ApiKey] = WeakSet()

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        hidden = text
        for key in list(self.keys):
            hidden = key.hidden_in(hidden)
        if hidden != text:
            record.msg, record.args, record.exc_info = hidden, None, None
        return True


_LOG_FILTER = _LogFilter()
