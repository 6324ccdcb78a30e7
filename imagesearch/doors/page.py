"""The page's files as both editions serve them: gzipped, revalidated, confined by their headers.

What `web/` holds is what there is: a file that is added there is served. No web framework here.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from imagesearch.doors.compression import gzipped
from imagesearch.doors.errors import NO_SNIFFING

# Of what a page is made of; a file of another kind is not served. Those of words are gzipped.
_WORDS = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".ts": "text/plain",
    ".txt": "text/plain",
    ".webmanifest": "application/manifest+json",
}
_PICTURES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
MEDIA_TYPES = _WORDS | _PICTURES
_INDEX = "index.html"
# Neither a hidden file nor a way out of the folder is such a path.
_PATH = re.compile(r"(?:[A-Za-z0-9_-]+/)*[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+")
# A name with eight or more hexadecimal digits before its suffix changes when its content does.
_HASHED = re.compile(r".*[.-][0-9a-f]{8,}\.[a-z0-9]+")
_FOR_EVER = "public, max-age=31536000, immutable"
_REVALIDATED = "public, no-cache"  # kept, and asked about each time: most answers are then a 304
# What those who show a shared link look for: https://ogp.me wants whole addresses.
_SHARED_PICTURE = b'<meta property="og:image" content="'
_ASKED_FIRST = {"k": "24", "wait": "0.5"}  # by web/search.js and web/client.js, beside the words
_SITE = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]+/")
_SMALLEST = 9  # gzip's level: a file is compressed once


@dataclass(frozen=True)
class PageFile:
    """
    A file as it is sent.

    Attributes:
        body: as it lies in the folder.
        gzipped: the same in gzip's format; None where that would be no smaller.
        tag: of its content, weak, as both forms of it have it in common.
    """

    media_type: str
    body: bytes
    gzipped: bytes | None
    tag: str
    cache_control: str


class PageFiles:
    """
    The files of *folder*, and those that are *written* from what this process knows.

    A file is read when it is first asked for, and again when it has changed.

    Args:
        written: contents by path; they stand before a file of the folder.
    """

    def __init__(self, folder: Path, written: Mapping[str, bytes]) -> None:
        self._folder = folder
        self._written = {path: _page_file(path, body) for path, body in written.items()}
        self._read: dict[str, tuple[tuple[int, int], PageFile]] = {}

    def file(self, url_path: str) -> PageFile | None:
        """Return the file at *url_path*, which begins with a slash; None when there is none."""
        path = url_path.removeprefix("/")
        if not path or path.endswith("/"):
            path += _INDEX
        if path in self._written:
            return self._written[path]
        if Path(path).suffix not in MEDIA_TYPES or not _PATH.fullmatch(path):
            return None
        try:
            return self._file_of_folder(path)
        except OSError:  # it is none, or a folder
            return None

    def _file_of_folder(self, path: str) -> PageFile:
        file = self._folder / path
        status = file.stat()
        version = (status.st_mtime_ns, status.st_size)
        if path not in self._read or self._read[path][0] != version:
            self._read[path] = (version, _page_file(path, file.read_bytes()))
        return self._read[path][1]


def _page_file(path: str, body: bytes) -> PageFile:
    suffix = Path(path).suffix
    return PageFile(
        media_type=MEDIA_TYPES[suffix],
        body=body,
        gzipped=gzipped(body, _SMALLEST) if suffix in _WORDS else None,
        tag=_tag(body),
        cache_control=_FOR_EVER if _HASHED.fullmatch(path) else _REVALIDATED,
    )


def _tag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32]


def addressed(file: PageFile, site: str, query: str, *, asks_key: bool) -> PageFile:
    """
    Return the page *file* as it is at its address.

    It has the whole addresses of itself and of its picture to share, and a browser begins with the
    search that it is of before any script has come.

    Any other file, and the page at a *site* that cannot be an origin, is returned as it is.

    Args:
        site: where the page is asked for, as `https://example.org/`.
        query: what follows the question mark of its address; "" where nothing does.
        asks_key: whether a search needs a key, which only a script has.
    """
    if _SHARED_PICTURE not in file.body or not _SITE.fullmatch(site):
        return file
    address = html.escape(f"{site}?{query}" if query else site)
    tags = [f'<meta property="og:url" content="{address}">']
    if not asks_key and (question := _first_question(query)):
        href = html.escape(f"search?{question}")
        tags.append(f'<link rel="preload" href="{href}" as="fetch" crossorigin>')
    written = "".join(f"{tag}\n    " for tag in tags).encode()
    body = file.body.replace(_SHARED_PICTURE, written + _SHARED_PICTURE + site.encode(), 1)
    return replace(file, body=body, gzipped=gzipped(body, _SMALLEST), tag=_tag(body))


def _first_question(query: str) -> str | None:
    """
    Return what the page at that address asks first, to the letter as its scripts write it.

    None for an address of more than words and a keyword: the page alone knows what it makes of it.

    Source: https://url.spec.whatwg.org/#application/x-www-form-urlencoded
    """
    given = parse_qsl(query, keep_blank_values=True)
    words = dict(sorted(given, reverse=True))  # the keyword comes first
    is_plain = len(words) == len(given) and words.keys() in ({"s_query"}, {"t", "s_query"})
    # A script takes spaces off, and a byte order mark, which is none to Python.
    if not is_plain or not all(w and w == w.strip().strip("\ufeff") for w in words.values()):
        return None
    return urlencode({**words, **_ASKED_FIRST}, safe="*").replace("~", "%7E")


def page_config(
    demo_keywords: tuple[str, ...],
    sources: Iterable[tuple[str, str, str]],
    *,
    has_collections: bool,
    has_docs: bool,
) -> bytes:
    """
    Return config.json as it is beside the API; without *demo_keywords* this is no demo.

    Args:
        sources: of where images come from, each name, page, and what it asks to be said of it.
        has_collections: whether there may be collections, which the page then asks for.
        has_docs: whether the documentation was built, at docs/ beside the page.
    """
    config = {
        "api": "",
        "demo": bool(demo_keywords),
        "demo_keywords": demo_keywords,
        "collections": has_collections,
        "docs": has_docs,
        "sources": [{"name": name, "site": site, "note": note} for name, site, note in sources],
    }
    return json.dumps(config).encode()


def page_headers(images_url: str) -> dict[str, str]:
    """
    Return the headers with which a page runs what it was served with, and nothing else.

    Args:
        images_url: where the stored images are; a path alone is the page's own origin.

    Source: https://www.w3.org/TR/CSP3/ and https://owasp.org/www-project-secure-headers/
    """
    parts = urlsplit(images_url)
    images = f" {parts.scheme}://{parts.netloc}" if parts.netloc else ""
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        # A picture to search by is shown as a blob: or data: before it is sent.
        "img-src": f"'self' blob: data:{images}",
        "connect-src": f"'self'{images}",  # a picture that is saved or searched by is fetched
        "manifest-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return {
        **NO_SNIFFING,
        "Content-Security-Policy": "; ".join(" ".join(pair) for pair in policy.items()),
        "Cross-Origin-Opener-Policy": "same-origin",
        # What somebody looks for is in the page's address, and nobody else's business.
        "Referrer-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }
