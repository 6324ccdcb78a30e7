"""`imagesearch mcp`: a server for assistants, over stdio, or over HTTP beside the API."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imagesearch.cli.client import StackServer, opened_server
from imagesearch.cli.collections import added
from imagesearch.cli.options import DataDir, FromName, ModelName, filled_path, settings_with
from imagesearch.cli.terminal import err
from imagesearch.client import AsyncClient
from imagesearch.client.clients import Server
from imagesearch.client.searching import Patience
from imagesearch.domain.errors import InvalidRequest
from imagesearch.installation import is_installed, pip_install
from imagesearch.settings import Settings

if TYPE_CHECKING:
    from mcp.server import MCPServer

    from imagesearch.mcp_server import Add

EXAMPLES = (
    "Examples:\n\n\b\n"
    "  imagesearch mcp --add-from ~/Pictures\n"
    "  imagesearch mcp --url https://pictures.example\n"
    "  imagesearch mcp --port 8100\n"
)
_ADDRESS = "127.0.0.1"  # whoever reaches it may add folders of this machine
TURN_SECONDS = 20.0  # for a search that has the data folder; assistants give a start a minute


def mcp(
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="Ask the imagesearch at this URL")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            min=0,
            max=65_535,
            help="Serve http://127.0.0.1:PORT/mcp instead of stdio; 0 takes a free one",
        ),
    ] = None,
    add_from: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            parser=filled_path,
            help="Let assistants add this folder, or one within it, as a collection; repeatable",
        ),
    ] = None,
    data_dir: DataDir = None,
    model: ModelName = None,
    from_source: FromName = None,
) -> None:
    """Serve assistants by the Model Context Protocol: they search, and look at pictures."""
    if not is_installed("mcp.server"):
        needed = f"imagesearch mcp needs: {pip_install('imagesearch[mcp]')}"
        raise InvalidRequest(needed, field="mcp")
    if url is not None and add_from:
        bound = "--add-from must come without --url: a server elsewhere reads no folder here"
        raise InvalidRequest(f"{bound}, got {add_from[0]}", field="--add-from")
    with opened_server(
        url, data_dir, model=model, source=from_source, turn_seconds=TURN_SECONDS
    ) as server:
        if isinstance(server, StackServer):
            server.begin_collections()
        settings = settings_with(data_dir=data_dir, clip_model=model, source=from_source)
        _run(server, port, _adding(settings, url, [*(add_from or [])]))


def _adding(settings: Settings, url: str | None, allowed: list[Path]) -> Add:
    from imagesearch.local.embedded.services import StoredCollections
    from imagesearch.mcp_server import refused_add

    if url is not None:
        return refused_add(f"no folder can be added: {url} is asked, which reads none of here")
    if not allowed:
        return refused_add(
            "no folder may be added: start `imagesearch mcp` with --add-from FOLDER to allow one"
        )

    def add(folder: str, name: str) -> str:
        path = checked_folder(folder, allowed)
        said: list[str] = []
        with closing(StoredCollections(settings)) as stored:
            collection = added(stored, path, name, None, said.append)
            stored.collections.ask(collection.name)
        begun = f"The pictures of {collection.name!r} are being read; no file is changed."
        return " ".join([*said, begun, f"pool_status of {collection.name!r} says how far it is."])

    return add


def checked_folder(folder: str, allowed: list[Path]) -> Path:
    """
    Return the path of *folder*, where no link leads out of the *allowed* ones.

    Raises:
        InvalidRequest: it is none, or outside of them.
    """
    path = Path(folder).expanduser().resolve()
    roots = [each.expanduser().resolve() for each in allowed]
    if not any(path.is_relative_to(root) for root in roots):
        bound = f"folder must be in {' or '.join(map(str, roots))}, as --add-from says"
        raise InvalidRequest(f"{bound}, got {folder[:200]!r}", field="folder")
    if not path.is_dir():
        raise InvalidRequest(f"folder must be a folder, got {folder[:200]!r}", field="folder")
    return path


def _run(server: Server, port: int | None, add: Add) -> None:
    from imagesearch.mcp_server import PATIENCE_SECONDS, mcp_server

    patience = Patience(give_up_seconds=PATIENCE_SECONDS)
    served = mcp_server(AsyncClient(server, patience=patience), add)
    if port is None:
        served.run("stdio")
    else:
        _run_http(served, port)


def _run_http(served: MCPServer[None], port: int) -> None:
    import uvicorn

    from imagesearch.local.in_thread import listen

    try:
        listener = listen(port, _ADDRESS)
    except OSError as error:
        message = f"cannot listen on --port {port}: {os.strerror(error.errno or 0)}; try 0"
        raise InvalidRequest(message, field="--port") from None
    with listener:
        err.print(f"Assistants find it at http://{_ADDRESS}:{listener.getsockname()[1]}/mcp")
        # Each call stands alone; the host of a page of the web is refused by the SDK.
        app = served.streamable_http_app(host=_ADDRESS, stateless_http=True, json_response=True)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(uvicorn.Config(app, log_config=None)).run(sockets=[listener])
