"""How the app is served and packed: to whom, with what, and confined to what."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from app.server import FALLBACK_FONTS, main, web_app
from app.settings import Settings, settings_of
from imagesearch.cli.main import cli
from imagesearch.domain.errors import InvalidRequest
from imagesearch.installation import pip_install
from tools import stage_app

HOST = "http://localhost:8090"
ENGINE = ("/main.dart.wasm", "/canvaskit/skwasm.wasm", "/assets/fonts/MaterialIcons-Regular.otf")
SESSION = "ws://localhost:8090/ws"


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    settings = settings_of({"API_URL": "https://api.example.org/v1", "IMAGE_ORIGINS": HOST})
    app = web_app(settings, tmp_path)
    return TestClient(app, base_url=HOST)


def test_the_page_may_load_what_is_its_own_and_the_apis_and_nothing_else(
    client: TestClient,
) -> None:
    page = client.get("/")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert f"connect-src 'self' https://api.example.org {HOST} data: blob:;" in policy
    assert policy.count("'sha256-") == len(re.findall("<script>", page.text)) == 3
    assert 'src="accessible.js"' in page.text
    assert client.get("/accessible.js").headers["Cache-Control"] == "public, no-cache"
    assert "Content-Security-Policy" in client.get("/main.dart.js").headers


def test_flutter_is_given_the_fonts_that_it_needs(client: TestClient) -> None:
    families = [font["family"] for font in client.get("/assets/FontManifest.json").json()]
    assert families == ["MaterialIcons", "Roboto"]
    for family, file in FALLBACK_FONTS.items():
        font = client.get(f"/assets/fonts/{family}/v46/some-name.woff2")
        assert font.url.path == f"/fonts/{file}"
        assert font.content[:4] == b"wOF2"
        assert len(font.content) < 1_000_000
        assert font.headers["Cache-Control"] == "public, max-age=86400"
    assert client.get("/assets/fonts/notosanscuneiform/v1/a.woff2").status_code == 404
    assert client.get("/assets/fonts/MaterialIcons-Regular.otf").status_code == 200


def test_a_host_of_elsewhere_is_not_answered_on_this_machine(client: TestClient) -> None:
    assert client.get("/", headers={"Host": "evil.example.org"}).status_code == 421
    assert client.get("/", headers={"Host": "127.0.0.1:8090"}).status_code == 200


@pytest.mark.parametrize("host", ["[", "localhost:8090[", "[::1"])
def test_a_host_that_is_none_is_refused(client: TestClient, host: str) -> None:
    refused = client.get("/", headers={"Host": host})
    assert (refused.status_code, refused.text[:20]) == (400, "the Host header must")


def test_an_engine_of_13_mb_travels_in_five(client: TestClient) -> None:
    """By what a window loads before its first frame."""
    plain, sent = 0, 0
    for path in ("/", *ENGINE):
        response = client.get(path)
        assert response.headers["Content-Encoding"] == "gzip"
        assert "Accept-Encoding" in response.headers["Vary"]
        sent += int(response.headers["Content-Length"])
        plain += len(response.content)
    whole = client.get("/flutter.js", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in whole.headers
    assert whole.content == client.get("/flutter.js").content
    assert plain > 13_000_000
    assert sent < 5_000_000


def test_what_is_compressed_is_asked_for_again_by_its_tag(client: TestClient) -> None:
    first = client.get("/flutter.js")
    assert first.headers["ETag"].startswith('W/"')
    again = client.get("/flutter.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = client.head("/flutter.js")
    assert "Content-Encoding" not in head.headers


@pytest.mark.parametrize(
    "origin", ["https://evil.example.org", "http://localhost:1", "http://[", "null", ""]
)
def test_a_page_of_elsewhere_has_no_session(client: TestClient, origin: str) -> None:
    with (
        pytest.raises(WebSocketDisconnect) as refused,
        client.websocket_connect(SESSION, headers={"Origin": origin}),
    ):
        pass
    assert refused.value.code == 1008


def test_a_page_of_its_own_has_one(client: TestClient) -> None:
    with client.websocket_connect(SESSION, headers={"Origin": HOST}):
        pass


def test_on_cloud_run_it_is_answered_by_whatever_name_it_has(tmp_path: Path) -> None:
    settings = Settings(api_url=HOST, bind_address="0.0.0.0")
    app = web_app(settings, tmp_path)
    page = TestClient(app, base_url="https://app.example.org").get("/")
    assert page.status_code == 200


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"API_URL": "search.example.org"}, "API_URL must be an http:// or https:// URL"),
        ({"API_URL": "ftp://x"}, "API_URL must be an http:// or https:// URL"),
        ({"API_URL": "https://a:b@a.org"}, "API_URL must be an http:// or https:// URL"),
        ({"API_URL": "https://a.org/?q=1"}, "API_URL must be an http:// or https:// URL"),
        ({"IMAGE_ORIGINS": "https://a.org,b"}, "IMAGE_ORIGINS must be an http:// or https:// URL"),
        ({"PORT": "65536"}, "PORT must be between 0 and 65535, got '65536'"),
        ({"PORT": "-1"}, "PORT must be between 0 and 65535, got '-1'"),
    ],
)
def test_a_setting_that_cannot_be_is_named(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        settings_of(environment)


def test_settings_are_read_with_blanks_and_defaults() -> None:
    assert settings_of({"API_URL": " https://a.org/ ", "PORT": ""}) == Settings("https://a.org")


def test_it_listens_on_this_machine_alone_unless_it_is_told() -> None:
    assert settings_of({}).bind_address == "127.0.0.1"


def test_it_ends_with_one_line_where_it_cannot_be_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_URL", "nonsense")
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == (
        "The app cannot be served: API_URL must be an http:// or https:// URL in ASCII, without a"
        " user, a query or a fragment, got 'nonsense'"
    )


def test_the_command_says_which_extra_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagesearch.cli.app.is_installed", lambda module: module != "flet_web")
    with pytest.raises(InvalidRequest) as raised:
        cli(["app"])
    assert str(raised.value) == f"the app needs: {pip_install('imagesearch[app]')}"


def test_a_window_that_cannot_be_downloaded_says_what_can_be_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def show() -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr("imagesearch.cli.app.is_installed", lambda _: True)
    monkeypatch.setattr("app.main.show", show)
    with pytest.raises(InvalidRequest, match="not known; without --window the app is served"):
        cli(["app", "--window"])


def test_a_package_has_the_app_its_pins_and_the_address_that_it_searches(tmp_path: Path) -> None:
    target = tmp_path / "app"
    stage_app.stage("https://search.example.org/", target)
    assert (target / "app/assets/api_url.txt").read_text() == "https://search.example.org"
    assert (target / "assets/favicon.svg").is_file()
    assert not (target / "app/server.py").exists()  # which needs the web's packages
    project = (target / "pyproject.toml").read_text()
    names = "flet==1\\.[\\d.]+", "requests==[\\d.]+", "urllib3==[\\d.]+", "pydantic>=2.9,<3"
    listed = ", ".join(f'"{name}"' for name in names)
    assert re.search(rf"dependencies = \[{listed}\]", project)
    assert stage_app.PYDANTIC in (stage_app.ROOT / "pyproject.toml").read_text()
    code = "import sys, app.main; print(app.main._built_in_url(), *sys.modules, app.main.__file__)"
    run = subprocess.run(
        [sys.executable, "-c", f"{code}; import imagesearch; print(imagesearch.__file__)"],
        cwd=target,
        capture_output=True,
        text=True,
        check=True,
    )
    url, *modules = run.stdout.split()
    assert url == "https://search.example.org"
    assert modules[-1] == str(target / "imagesearch" / "__init__.py")
    assert not {"numpy", "torch", "PIL", "openvino"} & set(modules)


def test_a_package_without_an_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="API_URL must be an http"):
        stage_app.stage("nowhere", tmp_path / "app")
    assert not (tmp_path / "app").exists()
