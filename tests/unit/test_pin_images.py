"""tools/pin_images.py over registries that a stub on loopback plays."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from tests.stub_http import Request, StubServer, reply
from tools.pin_images import FILES, PINNED, ROOT, Image, images_in, main

OLD = "sha256:" + "0" * 64
INDEX = json.dumps({"schemaVersion": 2, "manifests": []})
DIGEST = f"sha256:{hashlib.sha256(INDEX.encode()).hexdigest()}"


def checkout(folder: Path) -> Path:
    """Return a copy of the files that pin, each image by a digest of long ago."""
    for file in FILES:
        text = (ROOT / file).read_text()
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(re.sub(r"@sha256:[0-9a-f]{64}", f"@{OLD}", text))
    return folder


def registry(request: Request) -> bytes:
    """Answer as Docker Hub does: with a manifest, for a token that anyone is given."""
    origin = f"http://{request.headers['host']}"
    if request.target.startswith("/token?"):
        scope = request.query["scope"]
        return reply(200, json.dumps({"token": f"for {scope}"}))
    name = request.target.removeprefix("/v2/").partition("/manifests/")[0]
    scope = f"repository:{name}:pull"
    if request.headers.get("authorization") != f"Bearer for {scope}":
        asked = f'Bearer realm="{origin}/token",service="registry",scope="{scope}"'
        return reply(401, WWW_Authenticate=asked)
    assert "application/vnd.oci.image.index.v1+json" in request.headers["accept"]
    return reply(200, INDEX, Docker_Content_Digest=DIGEST)


def test_each_image_gets_the_digest_that_its_tag_names(tmp_path: Path) -> None:
    root = checkout(tmp_path)
    with StubServer(registry) as server:
        assert main(root, lambda host: server.origin) == 0
    for file in FILES:
        before, after = (ROOT / file).read_text(), (root / file).read_text()
        assert OLD not in after
        assert DIGEST in after
        # Nothing but digests is changed.
        assert PINNED.sub("", after) == PINNED.sub("", before)
        assert images_in(after) == images_in(before)
    asked = [one.target for one in server.requests if "authorization" in one.headers]
    assert len(asked) == len(set(asked)), "each is asked for once"
    assert "/v2/library/python/manifests/3.12-slim-trixie" in asked
    assert "/v2/google.com/cloudsdktool/google-cloud-cli/manifests/stable" in asked


@pytest.mark.parametrize(
    ("name", "host", "repository"),
    [
        ("python", "registry-1.docker.io", "library/python"),
        ("moby/buildkit", "registry-1.docker.io", "moby/buildkit"),
        ("docker.io/moby/buildkit", "registry-1.docker.io", "moby/buildkit"),
        ("gcr.io/google.com/cli", "gcr.io", "google.com/cli"),
        ("localhost:5000/mine", "localhost:5000", "mine"),
    ],
)
def test_a_name_says_which_registry_has_it(name: str, host: str, repository: str) -> None:
    image = Image(name, "1")
    assert image.host == host
    assert image.repository == repository


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (reply(404), "HTTP Error 404"),
        (reply(500), "HTTP Error 500"),
        (reply(401), "it asks for an account"),
        (reply(200, "<html>a portal</html>"), "Expecting value"),
        (reply(200, "{}"), "no manifest of the digest None was sent"),
        (reply(200, INDEX, Docker_Content_Digest=OLD), f"no manifest of the digest {OLD}"),
    ],
)
def test_a_registry_that_does_not_answer_changes_nothing(
    tmp_path: Path, answer: bytes, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = checkout(tmp_path)
    before = {file: (root / file).read_text() for file in FILES}
    with StubServer(lambda request: answer) as server:
        assert main(root, lambda host: server.origin) == 1
    assert {file: (root / file).read_text() for file in FILES} == before
    error = capsys.readouterr().err
    assert says in error
    assert "/manifests/" in error


def test_every_image_of_the_files_is_pinned() -> None:
    """One that is not would be another each day, and none that this raises."""
    for file in FILES:
        text = (ROOT / file).read_text()
        steps = re.findall(r"(?m)^ +name: (\S+)$", text)
        bases = re.findall(r"(?m)^ARG BASE_IMAGE=(\S+)$", text)
        builders = re.findall(r"--driver-opt image=(\S+)", text)
        named = steps + bases + builders
        assert named, file
        assert [one for one in named if not PINNED.fullmatch(one)] == []
    configs = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("*.yaml")}
    dockerfiles = {
        path.relative_to(ROOT).as_posix()
        for folder in ("app", "inference_service", "functions", "tools")
        for path in (ROOT / folder).rglob("Dockerfile")
    }
    assert configs | dockerfiles <= set(FILES)


def test_an_image_is_pinned_by_one_digest_in_all_files() -> None:
    found: dict[Image, set[str]] = {}
    for file in FILES:
        for match in PINNED.finditer((ROOT / file).read_text()):
            found.setdefault(Image(match["name"], match["tag"]), set()).add(match[0])
    assert [digests for digests in found.values() if len(digests) > 1] == []
