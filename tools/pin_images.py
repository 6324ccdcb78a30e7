"""Writes the digests that tags of container images name today into the files that use them.

An image is pinned as `NAME:TAG@sha256:DIGEST`: the digest is what runs, and the tag what is
followed. Another tag is written by a person, with any digest; this puts the right one behind it.
Registries are asked by the API of the OCI distribution specification, and without an account.

Usage: python -m tools.pin_images
Sources: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
and, for tokens, https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = (
    "cloudbuild.yaml",
    "drift.yaml",
    "update.yaml",
    "image.yaml",
    "inference_service/Dockerfile",
    "app/Dockerfile",
    "tools/build_image.sh",
)
PINNED = re.compile(r"(?P<name>[a-z0-9][\w./-]*):(?P<tag>\w[\w.-]*)@sha256:[0-9a-f]{64}")
# Lists of images for several platforms first: the digest of a list serves them all.
MEDIA_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
SECONDS = 20.0
MAX_BYTES = 4 * 1024 * 1024  # of a manifest: what the specification has each registry take
HUB = "registry-1.docker.io"


class RegistryError(Exception):
    """A registry did not say what a tag names."""


@dataclass(frozen=True)
class Image:
    """A tag of an image, as it is written: Docker Hub's images name no host."""

    name: str
    tag: str

    @property
    def host(self) -> str:
        """The registry: Docker Hub's, where the name says none."""
        first = self.name.partition("/")[0]
        has_host = "/" in self.name and ("." in first or ":" in first)
        return first if has_host and first != "docker.io" else HUB

    @property
    def repository(self) -> str:
        """The name as the registry has it: Docker's own images are of `library`."""
        path = self.name.removeprefix("docker.io/").removeprefix(f"{self.host}/")
        return f"library/{path}" if self.host == HUB and "/" not in path else path


def https(host: str) -> str:
    """Return where a registry answers."""
    return f"https://{host}"


def digest_of(image: Image, origin: Callable[[str], str] = https) -> str:
    """
    Return `sha256:` and the 64 hexadecimal digits of what *image* names now.

    Raises:
        RegistryError: the registry does not answer, knows no such tag, or sent what is no manifest.
    """
    url = f"{origin(image.host)}/v2/{image.repository}/manifests/{image.tag}"
    headers = {"Accept": ", ".join(MEDIA_TYPES)}
    try:
        try:
            body, said = _get(url, headers)
        except urllib.error.HTTPError as refused:
            if refused.code != 401:
                raise
            token = _token(refused.headers.get("WWW-Authenticate", ""))
            body, said = _get(url, {**headers, "Authorization": f"Bearer {token}"})
        kind = json.loads(body)
        is_manifest = "manifests" in kind or "layers" in kind
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RegistryError(f"{url}: {error}") from error
    # By the specification the digest of a manifest is that of its bytes.
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    if not is_manifest or said not in (None, digest):
        raise RegistryError(f"{url}: no manifest of the digest {said} was sent")
    return digest


def _token(challenge: str) -> str:
    """Return the token that a registry gives to everyone, by what it asked for."""
    asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    if "realm" not in asked:
        raise ValueError(f"it asks for an account: {challenge[:200]!r}")
    query = urllib.parse.urlencode(
        {name: asked[name] for name in ("service", "scope") if name in asked}
    )
    body, _ = _get(f"{asked['realm']}?{query}", {})
    given = json.loads(body)
    token: str = given.get("token") or given["access_token"]
    return token


def _get(url: str, headers: dict[str, str]) -> tuple[bytes, str | None]:
    """Return a body, and the digest that the registry says it has."""
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - https, but in tests
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
        body: bytes = answer.read(MAX_BYTES + 1)
        if len(body) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
        return body, answer.headers.get("Docker-Content-Digest")


def pin(text: str, digests: dict[Image, str]) -> str:
    """Return *text* with the digest of *digests* behind each image that is pinned in it."""

    def pinned(match: re.Match[str]) -> str:
        image = Image(match["name"], match["tag"])
        return f"{image.name}:{image.tag}@{digests[image]}"

    return PINNED.sub(pinned, text)


def images_in(text: str) -> set[Image]:
    """Return the images that *text* pins."""
    return {Image(match["name"], match["tag"]) for match in PINNED.finditer(text)}


def main(root: Path = ROOT, origin: Callable[[str], str] = https) -> int:
    """Pin all; return 1, with nothing written, where a registry did not answer."""
    texts = {root / file: (root / file).read_text(encoding="utf-8") for file in FILES}
    images = sorted(
        {image for text in texts.values() for image in images_in(text)},
        key=lambda image: (image.name, image.tag),
    )
    try:
        digests = {image: digest_of(image, origin) for image in images}
    except RegistryError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for path, text in texts.items():
        if (raised := pin(text, digests)) != text:
            path.write_text(raised, encoding="utf-8")
    for image in images:
        print(f"{image.name}:{image.tag}@{digests[image]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
