"""Nobody on this machine is believed to be a proxy that we did not name (`TRUSTED_PROXIES=0`)."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from imagesearch.deployment.services import SERVICES, Service
from imagesearch.local import in_thread
from imagesearch.local.emulated import cloud_stack

CLAIMS = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}


async def who_asks(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer whom the server takes a request to come from, and how."""
    body = json.dumps([scope["client"][0], scope["scheme"]]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def test_a_server_in_a_thread_believes_nobody() -> None:
    listener = in_thread.listen()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    with in_thread.serving(who_asks, listener, "who"):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(urllib.request.Request(url, headers=CLAIMS), timeout=10) as answer:
            assert json.loads(answer.read()) == ["127.0.0.1", "http"]


GUNICORN = "from gunicorn.config import Config; print(Config().forwarded_allow_ips)"
UVICORN = "import uvicorn; print([*filter(None, [uvicorn.Config('x').forwarded_allow_ips])])"


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_the_services_of_the_cloud_edition_believe_nobody_on_this_machine(
    service: Service, tmp_path: Path
) -> None:
    told = cloud_stack._service(service, 1, tmp_path, {}, None).environment
    code = UVICORN if service.command[0] == "uvicorn" else GUNICORN
    run = [sys.executable, "-c", code]
    shown = subprocess.run(run, env={**told}, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
