"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from imagesearch.settings import AllSettings
from tests.log_lines import log, logging_as_it_was  # noqa: F401 - fixtures
from tests.once import SHARED
from tests.world import World

# An example of test_values.py takes 0.3 ms alone, and the slowest of 100 took 84 ms beside 24 busy
# processes on 2 cores: hypothesis' limit of 200 ms measures what else the machine does.
hypothesis.settings.register_profile(
    "shared", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared")

# A developer's own settings are nothing that a test should see, nor its child processes.
for name in AllSettings.model_fields:
    os.environ.pop(name.upper(), None)


# torch's threads, and those of numpy's OpenBLAS, wait for each other by spinning. Where more
# processes than cores compute, as here, that is much of their CPU time: of a text five sixths.
os.environ.setdefault("OMP_NUM_THREADS", "1")


# One worker runs the files of a group one after the other, so that they share a session's stack of
# emulators; all other files are a group each. The order is that in which workers take them: one of
# the long ones left to the end would be waited for by the others.
GROUPS = {
    "page": (
        "test_page.py",
        "test_page_trouble.py",
        "test_page_looks.py",
        "test_page_pictures.py",
        "test_embedding.py",
        "test_app.py",
    ),
    "collections": ("test_model_change.py", "test_collections.py", "test_forgetting.py"),
    "firestore": (
        "test_firestore.py",
        "test_catalog.py",
        "test_costs_counts.py",
        "test_postgres.py",
    ),
    "faults": ("test_cloud_outages.py", "test_cloud_ends.py", "test_cloud_overload.py"),
    "messages": (
        "test_cloud_model.py",  # which embeds anew all that a stack has
        "test_cloud_budget.py",
        "test_cloud_messages.py",
        "test_cloud_pools.py",
        "test_cloud_crashes.py",
        "test_cloud_buckets.py",  # these two forget pools, after which no generation is a first one
        "test_cloud_forget.py",
    ),
    "emulators": ("test_readme.py", "test_parts.py", "test_emulators.py"),  # which ends the stack
    "benchmarks": ("test_benchmarks.py",),
    "server": (
        "test_pipeline.py",
        "test_cli.py",
        "test_hostile_requests.py",
        "test_tours.py",
        "test_notebook.py",
    ),
    "clip": ("test_clip.py", "test_text_rows.py"),
    "siglip": ("test_siglip.py",),
    "wheel": ("test_wheel.py",),
    "packages": ("test_packaged_functions.py",),
    "site": ("test_docs_site.py", "test_documented_commands.py"),
}
_GROUP_OF = {file: name for name, files in GROUPS.items() for file in files}
# What takes longest of the files that are groups of their own, the longest first: those that take
# 5 s and more.
LONG = (
    "test_check_plan.py",
    "test_forget.py",
    "test_first_deployment.py",
    "test_make_eval.py",
    "test_schemathesis.py",
    "test_page_collections.py",
    "test_environments.py",
    "test_publisher.py",
    "test_gcs.py",
    "test_demo_model.py",
    "test_spending.py",
    "test_where_my_change_goes.py",
    "test_terminal.py",
    "test_eval.py",
    "test_demo_queries.py",
    "test_torch_extra.py",
    "test_data_sets.py",
    "test_sources.py",
    "test_sqlite.py",
    "test_package_function.py",
    "test_speeds.py",
    "test_logs.py",
    "test_search_form.py",
    "test_picture_queries.py",
    "test_container.py",
    "test_architecture.py",
    "test_check_weights.py",
    "test_overload.py",
    "test_collect.py",
    "test_functions.py",
    "test_wsgi_door.py",
    "test_makefile.py",
    "test_cache.py",
    "test_search.py",
    "test_measuring.py",
    "test_scenes.py",
    "test_memorystore.py",
    "test_cloud_run.py",
    "test_damage.py",
    "test_reembed.py",
    "test_images.py",
    "test_ingest.py",
    "test_cold_start.py",
    "test_gallery.py",
    "test_open_limits.py",
    "test_cloudbuild_steps.py",
    "test_pixabay_hits.py",
    "test_values.py",
    "test_pubsub.py",
    "test_processes.py",
    "test_checkpoint.py",
    "test_uvicorn_protocol.py",
    "test_vector_index.py",
)
_PLACE = {file: place for place, file in enumerate((*_GROUP_OF, *LONG))}


def group_of(test: str) -> str:
    """Return the group of a test, which is given by its id."""
    file = test.partition("::")[0].rpartition("/")[2]
    return _GROUP_OF.get(file, file)


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]  # no py.typed
    """
    Gives each worker whole groups, in the order in which their tests were collected.

    pytest-xdist's own `--dist=loadgroup` writes a group into a test's `_nodeid`, which pytest 9.2
    ignores: each test was a group.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(
    config: pytest.Config,
    log: Producer,  # noqa: F811 - so the hook calls it, and it keeps quiet
) -> GroupScheduling:
    """Schedule by group, whatever `--dist` says."""
    config.option.loadscopereorder = False
    return GroupScheduling(config, log)


# What `make check` leaves to `make test`, unread: each starts Terraform, installs or packages,
# imports torch or a framework that no other file does, draws or embeds many pictures, needs a
# server, or starts a process for nearly every test. A single test that takes long is marked `slow`
# where it stands.
SLOW = {
    "test_app_server.py",
    "test_benchmarks.py",
    "test_cache_in_use.py",
    "test_check_plan.py",
    "test_check_weights.py",
    "test_checkpoint.py",
    "test_clip.py",
    "test_cloudbuild_steps.py",
    "test_cold_start.py",
    "test_container.py",
    "test_costs.py",
    "test_costs_counts.py",
    "test_damage.py",
    "test_demo_model.py",
    "test_demo_references.py",
    "test_demo_training.py",
    "test_deploy_page.py",
    "test_environments.py",
    "test_firestore.py",
    "test_first_deployment.py",
    "test_logs.py",
    "test_makefile.py",
    "test_mcp_server.py",
    "test_overload.py",
    "test_package_function.py",
    "test_picture_queries.py",
    "test_processes.py",
    "test_scenes.py",
    "test_siglip.py",
    "test_terminal.py",
    "test_terraform.py",
    "test_terraform_alerts.py",
    "test_terraform_grants.py",
    "test_text_rows.py",
    "test_torch_extra.py",
    "test_typed_text.py",
    "test_uvicorn_protocol.py",
    "test_verify_deployment.py",
    "test_where_my_change_goes.py",
}
FAST = "not slow"  # what `make check` gives as -m
_SLOW_FOLDERS = {"e2e"}
# Fixtures that start a server: all tests that have one are slow.
_SERVERS = {"firestore_host", "postgres_server", "pubsub_host", "redis_server", "storage_url"}


def is_slow(path: Path) -> bool:
    """True for a file of slow tests alone, and for a folder of them."""
    return path.name in SLOW or bool(_SLOW_FOLDERS & {path.name, path.parent.name})


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave slow files unread where nothing of them is wanted: some import torch."""
    return True if config.option.markexpr == FAST and is_slow(collection_path) else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without looks for garbage: there is little, and they took a fifth of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow, and put the tests of the longest files first, each file in its order."""
    items.sort(key=lambda item: _PLACE.get(item.path.name, len(_PLACE)))
    for item in items:
        if is_slow(item.path) or _SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Have no garbage collection look at what collecting has made, which stays to the end."""
    if session.config.option.markexpr == FAST and "torch" in sys.modules:
        raise pytest.UsageError("a fast test imports torch, which takes seconds: name it in SLOW")
    gc.freeze()


# Where fast tests write, if it is there: a disk would be waited for at each of their transactions.
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 500_000_000  # they need a tenth of it; a container has 64 MB by default


def has_room(folder: Path) -> bool:
    """True where *folder* is one that can take what the fast tests write."""
    return folder.is_dir() and shutil.disk_usage(folder).free >= MEMORY_BYTES


_shared = pytest.StashKey[tempfile.TemporaryDirectory[str]]()


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist starts the workers, which inherit it
def pytest_configure(config: pytest.Config) -> None:
    """Make the folder of `once.py`, in the first process of a run, and choose where to write."""
    if SHARED not in os.environ:
        if config.option.markexpr == FAST and "TMPDIR" not in os.environ and has_room(MEMORY):
            os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)
        config.stash[_shared] = tempfile.TemporaryDirectory(prefix="imagesearch-tests-")
        os.environ[SHARED] = config.stash[_shared].name
        if getattr(config.option, "numprocesses", None) and not (is_compiled() or is_read_only()):
            compile_once(config.option.markexpr)


def is_compiled() -> bool:
    """True where an earlier run has left the bytecode of the unit tests."""
    return any((Path(__file__).parent / "unit" / "__pycache__").glob("*-pytest-*.pyc"))


def is_read_only() -> bool:
    """True where bytecode is not kept."""
    return sys.dont_write_bytecode or not os.access(Path(__file__).parent, os.W_OK)


def compile_once(markexpr: str) -> None:
    """Have one process import what is to be tested: else each worker compiles all of it."""
    collecting = ("--collect-only", "-qq", "--numprocesses=0", "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", *collecting, "-m", markexpr]
    root = Path(__file__).resolve().parents[1]
    subprocess.run(command, cwd=root, capture_output=True, check=False)  # the workers tell why not


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove it, in the process that made it."""
    if _shared in config.stash:
        del os.environ[SHARED]
        config.stash[_shared].cleanup()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Use cases over the embedded adapters, with time and messages in the test's hands."""
    world = World(tmp_path)
    yield world
    world.catalog.close()
