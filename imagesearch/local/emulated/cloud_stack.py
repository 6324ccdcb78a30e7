"""The cloud edition on this machine: the services by their production commands, over emulators.

The emulators are chosen in `emulators.py`, processes are handled in `processes.py`, and the numbers
of each service are in `imagesearch/deployment/services.py`.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO

from imagesearch.adapters.buses import pubsub
from imagesearch.deployment.services import QUERY_SERVICE, SERVICES, Service
from imagesearch.deployment.topics import (
    FETCH_SERVICE,
    INFERENCE_SERVICE,
    PULL_SUBSCRIPTIONS,
    PUSH_SUBSCRIPTIONS,
)
from imagesearch.domain.errors import InvalidRequest
from imagesearch.installation import ROOT, pip_install
from imagesearch.local import in_thread
from imagesearch.local.emulated import emulators
from imagesearch.local.emulated.environment import environment_of, passed_on, reached_here
from imagesearch.local.emulated.images_site import IMAGES_PATH, create_images_site
from imagesearch.local.emulated.processes import (
    HOST,
    Child,
    StopRequested,
    end_all,
    free_port,
    guarded_folder,
    is_free,
    wait_until_ready,
)
from imagesearch.local.gallery_server import running_gallery
from imagesearch.settings import Settings, is_secret
from imagesearch.sources import SOURCES

PROJECT = "demo-imagesearch"
BUCKET = "imagesearch-images"
EMULATOR_SECONDS = 60.0  # for Java to start on a busy machine
SERVICE_SECONDS = 300.0  # for a full-size CLIP to be downloaded the first time
STOP_SECONDS = 10.0  # for the requests that a service has in hand
_WATCH_SECONDS = 0.2
_STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# Whom each may be told: only the fetcher has the key, as in production. The rest are for a cloud
# that is not this one, or would have functions-framework run something else than in production.
_KEYS = {name.upper() for each in SOURCES.values() for name in each.needs if is_secret(name)}
_NOT_PASSED_ON = _KEYS | frozenset(
    "REDIS_AUTH_STRING REDIS_SERVER_CA DEBUG WORKERS FUNCTION_TARGET FUNCTION_SOURCE "
    "FUNCTION_SIGNATURE_TYPE FUNCTION_USE_ASGI CLOUD_RUN_TIMEOUT_SECONDS "
    "GOOGLE_APPLICATION_CREDENTIALS".split()
)
# Doors first, then what works behind them, then what remembers; each group ends together.
_END_ORDER = (
    (QUERY_SERVICE,),
    (FETCH_SERVICE, INFERENCE_SERVICE),
    ("pubsub", "firestore", "storage", "redis"),
)


class CloudStack:
    """
    The emulators and services as children, and what each is told of the others.

    Nothing runs before `start`. A child may be killed and started again, or paused: it keeps its
    port and its environment.

    Attributes:
        children: by name: `query`, `fetch`, `inference`, `pubsub`, `firestore`, `storage`, `redis`.
        query_url: of the page and the API.
        images_url: of what stands for the bucket, to which the page is another origin.
        folder: the children's logs, and the objects of the storage emulator.
        is_stopping: true once a signal has asked for the end.
    """

    def __init__(
        self,
        settings: Settings,
        environment: Mapping[str, str],
        folder: Path,
        *,
        images_port: int,
        gallery_url: str,
        service_output: IO[str] | None = None,
    ) -> None:
        self.folder = folder
        self.is_stopping = False
        self.gallery_url = gallery_url
        self.images_url = f"http://{HOST}:{images_port}{IMAGES_PATH}"
        common = passed_on(environment, _NOT_PASSED_ON)
        common["TMPDIR"] = str(folder)  # what they leave there goes with it
        self.children = _emulators(folder, common)
        ports = {service.name: free_port() for service in SERVICES}
        ports[QUERY_SERVICE] = settings.port or ports[QUERY_SERVICE]
        common |= self._common(settings, ports[INFERENCE_SERVICE])
        for service in SERVICES:
            child = _service(service, ports[service.name], folder, common, service_output)
            self.children[service.name] = child
        fetch = self.children[FETCH_SERVICE]
        fetch.environment = {**fetch.environment, **settings.source_secrets}

    def _common(self, settings: Settings, inference_port: int) -> dict[str, str]:
        """Return what every service is told."""
        inference_url = f"http://{HOST}:{inference_port}"
        bucket_url = "" if settings.private_images else self.images_url
        return {
            **self.emulator_environment,
            "EDITION": "cloud",
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "IMAGES_BUCKET": BUCKET,
            "FIRESTORE_DATABASE": "(default)",
            "REDIS_HOST": HOST,
            "REDIS_PORT": str(self.redis_port),
            "SCORER_URL": inference_url,
            "EMBEDDER_URL": inference_url,
            "SOURCE": settings.image_source.name,
            "GALLERY_URL": self.gallery_url,
            "IMAGE_BASE_URL": settings.image_base_url or bucket_url,
            "PRIVATE_IMAGES": str(settings.private_images),
            "ALLOWED_ORIGINS": settings.allowed_origins,
            "TRUSTED_PROXIES": "0",
        }

    @property
    def emulator_environment(self) -> dict[str, str]:
        """What Google's own clients read."""
        return {
            pubsub.EMULATOR_VARIABLE: f"{HOST}:{self.children['pubsub'].port}",
            "FIRESTORE_EMULATOR_HOST": f"{HOST}:{self.children['firestore'].port}",
            "STORAGE_EMULATOR_HOST": self.storage_url,
        }

    @property
    def query_url(self) -> str:
        """The base URL of the API, at which the page is."""
        return self.children[QUERY_SERVICE].url

    @property
    def storage_url(self) -> str:
        """The base URL of the storage emulator."""
        return self.children["storage"].url

    @property
    def redis_port(self) -> int:
        """The port of redis-server."""
        return self.children["redis"].port

    def start(self) -> None:
        """
        Start everything at once, and return when all of it answers.

        Raises:
            ChildEnded: something ended or did not answer in time.
            StopRequested: a signal asked for the end.
        """
        for child in self.children.values():
            child.start()
        services = [self.children[service.name] for service in SERVICES]
        others = [child for child in self.children.values() if child not in services]
        wait_until_ready(others, EMULATOR_SECONDS, self._is_asked_to_end)
        self.declare()
        wait_until_ready(services, SERVICE_SECONDS, self._is_asked_to_end)

    def declare(self) -> None:
        """Create the topics and subscriptions; a Pub/Sub emulator that was restarted has none."""
        urls = {service.name: self.children[service.name].url for service in SERVICES}
        with environment_of({**reached_here(os.environ), **self.emulator_environment}):
            pubsub.declare(PROJECT, [*PUSH_SUBSCRIPTIONS, *PULL_SUBSCRIPTIONS], urls)

    def restart(self, name: str) -> None:
        """
        Start a child that has ended, and return when it answers.

        The emulators of Pub/Sub and Firestore come back empty, see `declare`; the storage emulator
        has its objects still.

        Raises:
            ChildEnded: it ended again, or did not answer in time.
        """
        self.children[name].start()
        wait_until_ready([self.children[name]], EMULATOR_SECONDS)

    def watch(self) -> None:
        """
        Return when a signal asks for the end.

        Raises:
            ChildEnded: a child ended by itself.
        """
        while not self._is_asked_to_end():
            time.sleep(_WATCH_SECONDS)

    def _is_asked_to_end(self) -> bool:
        """Look after all children, those that were ready before among them, and for a signal."""
        for child in self.children.values():
            child.check()
        return self.is_stopping

    def run(self, when_ready: Callable[[], None]) -> None:
        """
        Start, call *when_ready*, and watch until Ctrl-C, SIGTERM or the end of the terminal.

        Raises:
            ChildEnded: something ended by itself, or did not answer in time; the rest is ended.
        """
        # A flag, not an exception, which could strike between a child's start and its record.
        # `nohup` has SIGHUP ignored, to outlive the terminal. That a shell has a background job
        # ignore Ctrl-C means the terminal's: a SIGINT of its own is for this process.
        outlives = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        before = {
            number: signal.signal(number, self._heed)
            for number in _STOPPING_SIGNALS
            if not (outlives and number == signal.SIGHUP)
        }
        try:
            with suppress(StopRequested):
                self.start()
                when_ready()
                self.watch()
        finally:
            self.is_stopping = True
            self.stop()
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop(self) -> None:
        """End every child, in good order."""
        for names in _END_ORDER:
            end_all([self.children[name] for name in names], STOP_SECONDS)

    def _heed(self, _: int, __: FrameType | None) -> None:
        """Handle a signal: the first asks for the end, a further one has no patience."""
        if self.is_stopping:
            for child in self.children.values():
                child.send_kill()
        self.is_stopping = True


@contextmanager
def cloud_stack(
    settings: Settings,
    environment: Mapping[str, str] = os.environ,
    *,
    service_output: IO[str] | None = None,
) -> Iterator[CloudStack]:
    """
    Yield a cloud edition that is not started yet; end it all at the end.

    The page and the API are at `settings.port`, the images at the next one; 0 takes free ports.

    Args:
        environment: what the services are told, besides where everything is.
        service_output: where the services print; None: to their logs.

    Raises:
        MissingProgram: programs to install.
        InvalidRequest: a port is in use.
    """
    emulators.check_programs()
    with ExitStack() as opened:
        listener = opened.enter_context(_images_listener(settings.port))
        folder = opened.enter_context(guarded_folder("imagesearch-"))
        gallery_url = opened.enter_context(running_gallery()) if settings.is_demo else ""
        stack = CloudStack(
            settings,
            environment,
            folder,
            images_port=listener.getsockname()[1],
            gallery_url=gallery_url,
            service_output=service_output,
        )
        opened.callback(stack.stop)
        site = create_images_site(f"{stack.storage_url}/{BUCKET}")
        opened.enter_context(in_thread.serving(site, listener, "images"))
        yield stack


def _emulators(folder: Path, environment: Mapping[str, str]) -> dict[str, Child]:
    children = (
        emulators.pubsub_emulator(folder),
        emulators.firestore_emulator(folder),
        emulators.storage_emulator(folder, BUCKET),
        emulators.redis_server(folder),
    )
    for child in children:
        child.environment = environment
    return {child.name: child for child in children}


def _service(
    service: Service,
    port: int,
    folder: Path,
    environment: Mapping[str, str],
    output: IO[str] | None,
) -> Child:
    listening = {"HOST": HOST, "PORT": str(port), "UVICORN_HOST": HOST, "UVICORN_PORT": str(port)}
    # Else gunicorn and uvicorn believe whoever is on this machine; in production nobody is.
    listening["FORWARDED_ALLOW_IPS"] = ""
    # For gunicorn's control socket, which would be one and the same for both functions.
    own = folder / f"{service.name}-run"
    own.mkdir(mode=0o700)
    return Child(
        service.name,
        [_script(service.command[0]), *service.command[1:]],
        port,
        folder,
        environment={
            **environment,
            **service.environment,
            **listening,
            "XDG_RUNTIME_DIR": str(own),
        },
        working_folder=ROOT,
        ready_path=service.ready_path,
        output=output,
    )


def _script(name: str) -> str:
    """Return the program *name* of this Python environment."""
    path = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if path is None:
        raise emulators.MissingProgram(f"{name} is missing: {pip_install(name)}")
    return path


def _images_listener(port: int) -> socket.socket:
    """Return a listener for the images, at the port after the page's *port*, which is free, too."""
    if port and not is_free(port):
        raise InvalidRequest(f"PORT {port} is in use; try PORT=0", field="PORT")
    images_port = port + 1 if port else free_port()
    try:
        return in_thread.listen(images_port)
    except (OSError, OverflowError):
        message = f"the images cannot be served at {images_port}, the port after PORT; try PORT=0"
        raise InvalidRequest(message, field="PORT") from None
