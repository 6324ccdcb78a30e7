"""`imagesearch reembed`: all that is stored embedded by another model, while searches go on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Annotated

import typer
from rich.progress import Progress

from imagesearch.cli.local_stack import opened_stack
from imagesearch.cli.options import DataDir, ModelName, settings_with
from imagesearch.cli.terminal import err, note, out, shown
from imagesearch.domain.errors import InvalidRequest, Unavailable
from imagesearch.settings import Settings
from imagesearch.usecases.reembed import Reembed, Reembedding
from imagesearch.usecases.stored_pools import StoredPools

EXAMPLES = (
    "Examples:\n\n\b\n"
    "  imagesearch reembed --model best\n"
    "  EDITION=cloud GOOGLE_CLOUD_PROJECT=... imagesearch reembed --model-revision REVISION\n"
)
_POOLS_AT_ONCE = 4  # what a new keyword may have to wait for
_SECONDS_A_LINE = 60.0  # where nobody looks at a terminal
_SHOWN = 5  # images and pools that are named


def reembed(
    data_dir: DataDir = None,
    model: ModelName = None,
    model_revision: Annotated[
        str | None,
        typer.Option(metavar="REVISION", help="In the cloud: what the scorer says at /started"),
    ] = None,
) -> None:
    """Embed all that is stored by the model of CLIP_MODEL; broken off, it goes on where it was."""
    settings = settings_with(data_dir=data_dir, clip_model=model)
    if settings.edition == "cloud" and model is not None:
        message = f"--model: in the cloud it is the scorer's, of --model-revision, got {model!r}"
        raise InvalidRequest(message, field="--model")
    with _progress() as tell:
        if settings.edition == "cloud":
            outcome = _in_the_cloud(settings, model_revision, tell)
        else:
            outcome = _on_this_machine(settings, tell)
    _print(outcome)
    if outcome.failures:
        raise Unavailable(f"{len(outcome.failures)} pools are still to be embedded: run it again")
    if outcome.deleted is None:
        model = model_revision or settings.model
        raise Unavailable(f"images wait still, as who embeds does not by {model}: run it again")


def _on_this_machine(settings: Settings, tell: Callable[[Reembedding], None]) -> Reembedding:
    from imagesearch.local.embedded.stack import FolderInUse  # only here, as it imports the server

    try:
        with opened_stack(settings) as stack:
            return stack.services.reembed(tell)
    except FolderInUse as error:
        hint = "`imagesearch serve` embeds what is stored by itself"
        raise Unavailable(f"{error}; {hint}") from error


def _in_the_cloud(
    settings: Settings, model_revision: str | None, tell: Callable[[Reembedding], None]
) -> Reembedding:
    from imagesearch.clock import SystemClock
    from imagesearch.compose.cloud import catalog_of
    from imagesearch.compose.publisher import publisher_of
    from imagesearch.compose.start import require

    require(settings, "google_cloud_project")
    if not model_revision:
        message = "--model-revision must be what GET /started of the scorer says, got none"
        raise InvalidRequest(message, field="--model-revision")
    with closing(catalog_of(settings)) as catalog:
        publisher = publisher_of(settings)
        clock = SystemClock()
        pools = StoredPools(catalog, publisher, clock, at_once=_POOLS_AT_ONCE)
        return Reembed(catalog, pools, clock)(model_revision, tell)


@contextmanager
def _progress() -> Iterator[Callable[[Reembedding], None]]:
    if not err.is_terminal:
        yield minutely(note)
        return
    with Progress(console=err, transient=True) as progress:
        task = progress.add_task("embedded", total=None, visible=False)

        def tell(stand: Reembedding) -> None:
            done, total = stand.coverage.embedded, stand.coverage.images
            progress.update(task, completed=done, total=total, visible=True)

        yield tell


def minutely(
    say: Callable[[str], object], now: Callable[[], float] = time.monotonic
) -> Callable[[Reembedding], None]:
    """Return what says how much there is to do when it is first told, then how far it is."""
    said_at = -math.inf

    def tell(stand: Reembedding) -> None:
        nonlocal said_at
        done, total = stand.coverage.embedded, stand.coverage.images
        if said_at == -math.inf:
            say(f"{total - done} of {total} images are to be embedded by this model.")
        elif now() >= said_at + _SECONDS_A_LINE:
            say(f"{done} of {total} images are embedded by this model.")
        else:
            return
        said_at = now()

    return tell


def _print(outcome: Reembedding) -> None:
    coverage = outcome.coverage
    lines = [f"{coverage.embedded} of {coverage.images} images are embedded by this model."]
    if outcome.rejections:
        lines.append(f"{len(outcome.rejections)} images were left out:")
        lines += [f"  {each}: {why}" for each, why in list(outcome.rejections.items())[:_SHOWN]]
    if outcome.failures:
        lines.append(f"{len(outcome.failures)} pools keep their old embeddings:")
        lines += [f"  {each}: {why}" for each, why in list(outcome.failures.items())[:_SHOWN]]
    if outcome.deleted:
        lines.append(f"{outcome.deleted} embeddings of other models were deleted.")
    for line in lines:
        out.print(shown(line), soft_wrap=True)
