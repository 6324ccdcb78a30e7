"""The worked examples of `docs/where-does-my-change-go.md` are put into a copy of the program."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "where-does-my-change-go.md").read_text()

BLOCK = re.compile(r"`([a-z_/]+\.py)`[^\n`]*:\n\n```python\n(.*?)```", re.DOTALL)

# What is true of the program once it has the example.
SOURCE = """
import json, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from imagesearch.clock import SystemClock
from imagesearch.adapters.caches.in_process import InProcessLimiter
from imagesearch.compose.fetch import compose, source_of
from imagesearch.domain.errors import InvalidRequest, Overloaded
from imagesearch.settings import load_settings

JPEG = b"\\xff\\xd8\\xff a picture \\xff\\xd9"

class Site(BaseHTTPRequestHandler):
    def do_GET(self):
        url = f"http://127.0.0.1:{self.server.server_port}/7.jpg"
        shelf = {"horse": [{"id": 7, "url": url, "width": 640, "height": 427}]}
        body = JPEG if self.path.endswith("jpg") else json.dumps(shelf).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

server = HTTPServer(("127.0.0.1", 0), Site)
threading.Thread(target=server.serve_forever, daemon=True).start()
settings = load_settings(source="shelf", shelf_url=f"http://127.0.0.1:{server.server_port}/list")
source = source_of(settings, InProcessLimiter(), SystemClock())
(listing,) = source.pages("horse", settings.source_options)
(listed,) = listing.images
assert listed.image.image_id == "shelf-7"
waits = []
while not waits:
    try:
        list(source.pages("horse", settings.source_options))
    except Overloaded as error:
        waits.append(error.retry_after_seconds)
assert source.download(listed) == JPEG
source.close()
try:
    compose(load_settings(source="shelf", google_cloud_project="p-12345", images_bucket="images"))
    raise AssertionError("it is composed")
except InvalidRequest as error:
    assert "SHELF_URL is missing" in str(error), error
"""
FAMILY = """
import json, pathlib
from inference_service.encoder import ModelEncoder
folder = pathlib.Path("long")
config = json.loads((folder / "config.json").read_text())
(folder / "config.json").write_text(json.dumps({**config, "model_type": "long_clip"}))
encoder = ModelEncoder.load(str(folder))
assert encoder.encode_text("a red circle").vector.size
encoder.close()
"""
FILTER = """
from imagesearch.cli.main import main
from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.filters import where_of
from imagesearch.domain.filters.declaration import holds
from imagesearch.domain.images import Credit, Image
from imagesearch.doors.http_api import parse_search

def image(width):
    return Image("i", "i.jpg", "", width, 400, Credit("", ""))

where = where_of(parse_search({"t": "horse", "s_query": "x", "min_width": "600"}).filters)
assert holds(where, image(600)) and not holds(where, image(599))
try:
    parse_search({"t": "horse", "s_query": "x", "min_width": "wide"})
    raise AssertionError("it is read")
except InvalidRequest as error:
    assert error.field == "min_width", error
sys.argv = ["imagesearch", "search", "--help"]
try:
    main()
except SystemExit:
    pass
"""
SETTING = """
from imagesearch.domain.errors import InvalidRequest
from imagesearch.settings import load_settings
assert load_settings().max_searches == 16
try:
    load_settings(max_searches=0)
    raise AssertionError("it is taken")
except InvalidRequest as error:
    assert "MAX_SEARCHES" in str(error), error
"""
# The vendor's contract is run over what compose makes of the example, with a server in its place.
VENDOR_CONFTEST = """
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import pytest
from imagesearch.compose.image_store import image_store_of
from imagesearch.settings import load_settings

class Site(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self, status, data=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)
    def do_PUT(self):
        self.server.files[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(201)
    def do_GET(self):
        data = self.server.files.get(self.path)
        self.answer(404) if data is None else self.answer(200, data)
    do_HEAD = do_GET
    def do_DELETE(self):
        self.answer(404 if self.server.files.pop(self.path, None) is None else 204)
    def log_message(self, *_):
        pass

@pytest.fixture
def image_store():
    settings = load_settings(google_cloud_project="p-12345", images_bucket="images.example")
    vendor = type(image_store_of(settings))
    assert vendor.__name__ == "WebdavStore"
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        server.files = {}
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield vendor(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
"""

# Where the one line of each example goes: before this text, but the vendor's in place of it.
VENDOR = "A new vendor"
PLACES = {
    "A new image source": "\nSOURCES:",
    "A new model family": "\nFAMILIES:",
    "A new filter": "\nFILTERS =",
    "A new setting": "    log_level:",
    VENDOR: "from imagesearch.adapters.stores import gcs as vendor\n",
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program with the five examples, and a folder with the demo's model."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("imagesearch", "inference_service", "functions", "web"):
        shutil.copytree(ROOT / name, folder / name)  # with what bytecode there is
    shutil.copytree(ROOT / "models" / "demo", folder / "long")
    for title in PLACES:
        add(title, folder)
    return folder


def section(title: str) -> str:
    """Return what the page says below *title*."""
    return re.split(r"^## ", PAGE.partition(f"## {title}\n")[2], flags=re.MULTILINE)[0]


def add(title: str, folder: Path) -> None:
    """Write the example's file, if it has one, and its one line."""
    *files, (table, line) = BLOCK.findall(section(title))
    assert len(files) <= 1
    assert line.strip().count("\n") == 0
    for path, code in files:
        assert not (folder / path).exists(), "the program has it"
        (folder / path).write_text(code)
    text, place = (folder / table).read_text(), PLACES[title]
    assert text.count(place) == 1
    after = "" if title == VENDOR else place
    (folder / table).write_text(text.replace(place, f"{line}{after}"))


def run(code: str, folder: Path) -> str:
    """Run *code* over the program in *folder*."""
    code = f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}"
    run = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def pytest_of(files: dict[str, str], folder: Path) -> None:
    """Run our tests over the program in *folder*: *files* by their paths in tests/."""
    shutil.copy(ROOT / "pyproject.toml", folder)
    for path, text in files.items():
        (folder / "tests" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "tests" / path).write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
    assert "skipped" not in run.stdout


def test_each_of_four_is_a_file_and_a_line_or_a_line_alone(copy: Path) -> None:
    shown = run("\n".join((SOURCE, FAMILY, SETTING, FILTER)), copy)
    assert "--min-width PIXELS" in shown


def test_a_new_vendor_passes_its_contract_and_the_import_test_has_nothing_against_any_of_the_five(
    copy: Path,
) -> None:
    here = ROOT / "tests"
    files = {"contract/test_image_store.py": (here / "contract/test_image_store.py").read_text()}
    files["contract/conftest.py"] = VENDOR_CONFTEST
    files["unit/test_architecture.py"] = (here / "unit/test_architecture.py").read_text()
    pytest_of(files, copy)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([a-z_/]+\.py)`", PAGE))))
def test_what_the_page_names_is_there_or_in_an_example(path: str) -> None:
    assert (ROOT / path).is_file() or f"`{path}`:\n\n```python" in PAGE
