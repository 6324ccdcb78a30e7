"""How a process of the cloud edition starts, or ends with one line of its log when it cannot."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar, cast

from imagesearch import logs
from imagesearch.domain.errors import ImageSearchError, InvalidRequest
from imagesearch.settings import Settings, load_settings

Process = TypeVar("Process")

_host: ContextVar[object] = ContextVar("host")
_logger = logging.getLogger(__name__)


@contextmanager
def hosted_by(process: object) -> Iterator[None]:
    """Have the functions that are loaded in this block work in *process*, which is at work."""
    token = _host.set(process)
    try:
        yield
    finally:
        _host.reset(token)


def process_of(compose: Callable[[Settings], Process]) -> Process:
    """Return the process that a function is loaded in: one that hosts it, else one `start`ed."""
    host = _host.get(None)
    return cast(Process, host) if host is not None else start(compose)


def start(compose: Callable[[Settings], Process]) -> Process:
    """
    Return what *compose* makes of the environment's settings, by which the log is configured.

    Raises:
        SystemExit: a setting is bad or missing, this is the embedded edition, whose one process
            hosts all, or what *compose* opens cannot be opened. A line of the log says which.
    """
    logs.configure()  # as far as can be: what is wrong with the settings is logged too
    try:
        settings = load_settings()
        if settings.edition != "cloud":
            raise InvalidRequest(
                "the embedded edition runs in one process, `imagesearch serve`; "
                "a process of its own needs EDITION=cloud"
            )
        logs.configure(settings.log_level, settings.google_cloud_project)
        if settings.traces:
            # Here: it takes `require` of this module, and most processes need none of it.
            from imagesearch.compose.spans import export_spans

            export_spans(settings)
        return compose(settings)
    except ImageSearchError as error:
        _logger.critical("cannot start: %s", "; ".join(str(error).splitlines()))
        raise SystemExit(1) from None


def require(settings: Settings, *names: str) -> None:
    """Raise InvalidRequest with all of *names* that are not set."""
    missing = [name.upper() for name in names if not getattr(settings, name)]
    if missing:
        what = "the setting" if len(missing) == 1 else "the settings"
        verb = "is" if len(missing) == 1 else "are"
        raise InvalidRequest(f"{what} {', '.join(missing)} {verb} missing", field=missing[0])
