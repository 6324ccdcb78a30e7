"""`imagesearch forget`: pictures that are taken down, keywords, collections, what nobody used."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from imagesearch.cli import buckets
from imagesearch.cli.collections import opened
from imagesearch.cli.options import DataDir, filled, settings_with
from imagesearch.cli.terminal import out, shown
from imagesearch.cli.updates import named
from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.forgetting import Forgotten, checked_image_id, checked_reason
from imagesearch.domain.work import MAX_FORGOTTEN_IMAGES, ForgetJob
from imagesearch.settings import Settings

if TYPE_CHECKING:
    from imagesearch.local.embedded.services import StoredCollections
    from imagesearch.usecases.forget import Forget

EXAMPLES = (
    "Examples:\n\n\b\n"
    '  imagesearch forget pixabay-736885 --reason "asked for by mail on 3 May"\n'
    "  imagesearch forget --allow-again pixabay-736885\n"
    "  imagesearch forget --keyword horse --dry-run\n"
    "  imagesearch forget --collection Pictures\n"
    "  imagesearch forget --unused-for 90\n"
    "  EDITION=cloud GOOGLE_CLOUD_PROJECT=... imagesearch forget pixabay-736885\n"
)
_MOST_DAYS = 3660


def forget(
    image_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="IMAGE_ID", help="Pictures to take down, by the ids of results"),
    ] = None,
    keyword: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", parser=filled, help="Forget a keyword, and images no other one has"
        ),
    ] = None,
    collection: Annotated[
        str | None,
        typer.Option(metavar="NAME", parser=filled, help="Forget a collection; its folder stays"),
    ] = None,
    unused_for: Annotated[
        int | None,
        typer.Option(metavar="DAYS", min=1, max=_MOST_DAYS, help="Forget what was so long unused"),
    ] = None,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why pictures are taken down; kept with their ids")
    ] = "",
    allow_again: Annotated[
        bool, typer.Option("--allow-again", help="Let the pictures come back with the next fetch")
    ] = False,
    taken_down: Annotated[
        bool, typer.Option("--list", help="Print what was taken down, when and why")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be forgotten, and change nothing")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """
    Forget pictures, a keyword, a collection, or what nobody used: with originals and copies.

    A picture that is named is taken down: an `imagesearch serve` that runs shows it to nobody
    within a minute, and no fetch brings it back.
    """
    image_ids = image_ids or []
    given = {
        "IMAGE_ID": bool(image_ids),
        "--keyword": bool(keyword),
        "--collection": bool(collection),
        "--unused-for": unused_for is not None,
        "--list": taken_down,
    }
    if sum(given.values()) != 1:
        named = [name for name, is_given in given.items() if is_given]
        bound = f"one of {', '.join(given)} must be given"
        raise InvalidRequest(f"{bound}, got {', '.join(named) or 'none'}", field="IMAGE_ID")
    if allow_again and not image_ids:
        raise InvalidRequest("--allow-again needs an IMAGE_ID, got none", field="--allow-again")
    if len(image_ids) > MAX_FORGOTTEN_IMAGES:
        bound = f"IMAGE_ID may be given {MAX_FORGOTTEN_IMAGES} times at most"
        raise InvalidRequest(f"{bound}, got {len(image_ids)}", field="IMAGE_ID")
    settings = settings_with(data_dir=data_dir)
    job = ForgetJob(
        tuple(checked_image_id(each) for each in image_ids),
        checked_reason(reason),
        allow_again,
        keyword or "",
        unused_for or 0,
    )
    if settings.edition == "cloud" and collection:
        buckets.remove(settings, collection, is_dry=dry_run)
        return
    if settings.edition == "cloud":
        _in_the_cloud(settings, job, lists=taken_down, is_dry=dry_run)
        return
    with opened(settings) as stored:
        if collection:
            _forget_collection(stored, collection, is_dry=dry_run)
        elif taken_down:
            _print_taken_down(stored.forgetting)
        else:
            unknown = [] if allow_again else _unknown(stored, job.image_ids)
            outcome = _done(stored.forgetting, job, is_dry=dry_run)
            if not unknown or len(unknown) < len(job.image_ids):
                _print(job, outcome, is_dry=dry_run)
            for image_id in unknown:
                verb = "it would be" if dry_run else "it is"
                line = f"No image has the id {image_id}; {verb} noted all the same."
                out.print(shown(line), soft_wrap=True)


def _unknown(stored: StoredCollections, image_ids: tuple[str, ...]) -> list[str]:
    """Return those of *image_ids* of which nothing is stored, and that no keyword lists."""
    catalog = stored.catalog
    known = set(stored.collections.files_of(image_ids))
    for revision in catalog.library.model_revisions():
        known |= catalog.library.embedded(image_ids, revision)
    left = [each for each in image_ids if each not in known]
    return [each for each in left if not list(catalog.pools.naming([each]))]


def _in_the_cloud(settings: Settings, job: ForgetJob, *, lists: bool, is_dry: bool) -> None:
    """Look for oneself, and have the fetch function do what changes anything."""
    from imagesearch.clock import SystemClock
    from imagesearch.compose.cloud import cache_of, catalog_of, check_sdk
    from imagesearch.compose.image_store import image_store_of
    from imagesearch.compose.publisher import publisher_of
    from imagesearch.compose.start import require
    from imagesearch.usecases.forget import Forget

    require(settings, "google_cloud_project")
    check_sdk()
    if not (lists or is_dry):
        publisher_of(settings).publish(job)
        out.print("It is handed over to the fetch function, whose log says what became of it.")
        return
    require(settings, "images_bucket")
    with closing(catalog_of(settings)) as catalog:
        cache, _ = cache_of(settings)
        forget = Forget(catalog, image_store_of(settings), cache, SystemClock())
        if lists:
            _print_taken_down(forget)
        else:
            _print(job, _done(forget, job, is_dry=True), is_dry=True)


def _done(forget: Forget, job: ForgetJob, *, is_dry: bool) -> Forgotten:
    if not is_dry:
        return forget(job)
    if job.allows:
        withdrawn = forget.catalog.retention.withdrawn()
        return Forgotten(allowed=len(withdrawn.keys() & set(job.image_ids)))
    return forget.preview(forget.plan(job))


def _forget_collection(stored: StoredCollections, name: str, *, is_dry: bool) -> None:
    collection = named(stored.collections, [name])[0]
    if is_dry:
        count = next(each for each in stored.collections.counts() if each.name == name)
        line = f"{name}: up to {count.images:,} images would be forgotten; {collection.root} stays."
    else:
        gone = stored.forget(collection)
        line = f"{name}: {gone:,} images are forgotten; {collection.root} is as it was."
    out.print(shown(line), soft_wrap=True)


def _print(job: ForgetJob, outcome: Forgotten, *, is_dry: bool) -> None:
    if job.allows:
        verb = "would be let" if is_dry else "are let"
        out.print(f"{outcome.allowed:,} pictures {verb} back, once a fetch offers them again.")
        return
    verb = "would be " if is_dry else "are "
    verb += "taken down" if job.image_ids else "forgotten"
    counts = [
        (outcome.images, "images"),
        (outcome.originals, "originals"),
        (outcome.pools, "pools of keywords"),
    ]
    out.print(f"{', '.join(f'{number:,} {what}' for number, what in counts)} {verb}.")
    if not outcome.is_all:
        out.print("There are more: run it again.")


def _print_taken_down(forget: Forget) -> None:
    every = sorted(forget.catalog.retention.withdrawn().values(), key=lambda each: each.at)
    if not every:
        out.print("No picture was taken down.")
    for each in every:
        when = each.at.strftime("%Y-%m-%d %H:%M UTC")
        line = f"{each.image_id}  {when}  {each.reason or 'for no reason that is noted'}"
        out.print(shown(line), soft_wrap=True)
