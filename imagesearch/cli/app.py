"""`imagesearch app`: the Flutter app, in a browser or as a window of its own."""

from __future__ import annotations

import os
import sys
from typing import Annotated
from urllib.error import URLError

import typer

from imagesearch.domain.errors import InvalidRequest
from imagesearch.installation import ROOT, is_installed, pip_install

EXAMPLES = (
    "Examples:\n\n\b\n"
    "  imagesearch app\n"
    "  imagesearch app --url https://search.example.org --port 9090\n"
    "  imagesearch app --window\n"
)


def app(
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="What it searches [http://127.0.0.1:8080]")
    ] = None,
    host: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Address [127.0.0.1]")] = None,
    port: Annotated[
        str | None, typer.Option(metavar="PORT", help="Port; 0 takes a free one [8090]")
    ] = None,
    window: Annotated[
        bool, typer.Option("--window", help="Open a window of its own, and serve nothing")
    ] = False,
) -> None:
    """Serve the Flutter app until Ctrl-C, for searches of an imagesearch that runs elsewhere."""
    for module, requirement in _NEEDED[window].items():
        if not is_installed(module):
            raise InvalidRequest(f"the app needs: {pip_install(requirement)}")
    given = {"API_URL": url, "BIND_ADDRESS": host, "PORT": port}
    os.environ |= {name: value for name, value in given.items() if value is not None}
    sys.path.insert(0, str(ROOT))  # where `app/` is, which is no part of the installed package
    if window:
        _open_window()
    else:
        from app.server import main

        main()


def _open_window() -> None:
    from app.main import show

    try:
        show()
    except URLError as error:
        missing = "the first window downloads Flet's program from GitHub, which is not reached"
        instead = "without --window the app is served, and needs no download"
        raise InvalidRequest(f"{missing}: {error.reason}; {instead}") from None


_NEEDED = {
    False: {"flet": "imagesearch[app]", "flet_web": "imagesearch[app]"},
    True: {"flet": "imagesearch[app]", "flet_desktop": "flet[desktop]"},
}
