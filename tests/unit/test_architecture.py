"""Dependencies point inward (design §3), read from the imports themselves."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from imagesearch.cli.main import COMMANDS
from inference_service.families import FAMILIES

ROOT = Path(__file__).resolve().parents[2]
# functions-framework brings `google.cloud.functions`, a file of its own; the SDKs bring the rest.
SDKS = ("google.cloud.storage", "google.cloud.pubsub", "google.cloud.firestore", "google.api_core")
HEAVY = ("torch", "transformers", "pandas", "PIL", "grpc", *SDKS)

# Each room, and the rooms of ours that it may import. A room is a module or a folder; `local`,
# `cli` and what starts it, the outermost, may import all.
OUTERMOST = {"__main__", "cli", "local"}
ALLOWED: dict[str, set[str]] = {
    "clock": set(),
    "domain": set(),
    "wire": {"domain"},
    "ports": {"domain"},
    "telemetry": {"domain"},
    "logs": {"domain", "telemetry"},
    "deployment": {"domain", "wire"},
    "installation": set(),
    "setting_types": set(),
    "client": {"domain", "setting_types"},
    "mcp_server": {"client", "domain", "folders"},
    "named_models": set(),
    "devices": {"installation", "named_models"},
    "settings": {"domain", "installation", "named_models", "setting_types", "sources"},
    "usecases": {"domain", "ports", "telemetry"},
    "sources": {"domain", "ports", "setting_types"},
    "adapters": {"clock", "deployment", "domain", "installation", "ports", "telemetry", "wire"},
    "doors": {"deployment", "domain", "telemetry", "usecases", "wire"},
    "demo": {"domain", "sources"},
    "folders": {"domain", "evaluation", "installation", "ports", "sources"},
    "evaluation": {"domain", "ports"},
    "compose": {
        *("adapters", "clock", "deployment", "devices", "domain", "folders", "installation"),
        *("logs", "ports", "settings", "sources", "telemetry", "usecases"),
    },
}

# What lies beside the folders of ports: the client and the codecs of a vendor, for all its files.
PORT_FOLDERS = {path.parent.name for path in (ROOT / "imagesearch/adapters").glob("*/__init__.py")}
SHARED: dict[str, set[str]] = {
    "firestore": {"firestore", "firestore_facts", "google_errors", "records", "vectors"},
    "gcs": {"cloud_storage", "google_errors"},
    "postgres": {"postgres", "records", "vectors"},
    "pubsub": {"google_errors"},
    "sqlite": {
        *("records", "sqlite", "sqlite_facts", "sqlite_nearest", "sqlite_rows"),
        *("vector_file", "vector_index", "vectors"),
    },
}


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@cache
def imports(path: Path) -> frozenset[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            assert node.module is not None
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def room(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize(
    "path", modules("imagesearch"), ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_module_imports_only_rooms_further_in(path: Path) -> None:
    here = room(".".join(path.relative_to(ROOT).with_suffix("").parts))
    if here == "__init__" or here in OUTERMOST:
        return
    ours = {room(name) for name in imports(path) if name.startswith("imagesearch.")}
    assert ours <= {here, *ALLOWED[here]}


@pytest.mark.parametrize(
    "path", modules("imagesearch/adapters"), ids=lambda path: str(path.relative_to(ROOT))
)
def test_an_adapter_imports_of_others_only_what_its_vendors_share(path: Path) -> None:
    """Each port has a folder; two ports that need each other are put together in compose/."""
    own = ".".join(path.parent.relative_to(ROOT).parts)
    names = {name for name in imports(path) if name.startswith("imagesearch.adapters.")}
    if own == "imagesearch.adapters":  # what is shared is of no port
        assert not {name.split(".")[2] for name in names} & PORT_FOLDERS
        return
    others = {name.split(".")[2] for name in names if not name.startswith(f"{own}.")}
    assert others <= SHARED.get(path.stem, set())


def test_nothing_imports_an_entry_point_but_the_local_stack() -> None:
    outer = ("functions.", "inference_service.", "imagesearch.local.", "imagesearch.cli.")
    for path in modules("imagesearch") + modules("functions"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[0] == "imagesearch" and parts[1] in (*OUTERMOST, "demo"):
            continue
        assert not [name for name in imports(path) if name.startswith(outer)], path


def test_only_the_stack_of_the_local_edition_mounts_the_services() -> None:
    mounting = [
        path.name
        for path in modules("imagesearch/local")
        if any(name.startswith(("functions", "inference_service")) for name in imports(path))
    ]
    assert mounting == ["stack.py"]


def test_a_family_of_models_is_imported_by_the_table_of_families_alone() -> None:
    table = {"inference_service.families", "inference_service.families.FAMILIES"}
    for path in modules("inference_service"):
        if path.parent.name != "families":
            families = {name for name in imports(path) if "inference_service.families" in name}
            assert families <= table, path


def test_each_file_of_a_family_is_in_the_table_of_families() -> None:
    files = {path.stem for path in modules("inference_service/families")} - {"__init__"}
    assert {family.__module__.rpartition(".")[2] for family in FAMILIES.values()} == files
    assert all(name == family.model_type for name, family in FAMILIES.items())


def test_a_runtime_is_imported_by_its_own_file() -> None:
    importing = {
        (name, str(path.relative_to(ROOT / "inference_service")))
        for path in modules("inference_service")
        for name in imports(path) & {"openvino", "torch", "transformers"}
    }
    assert importing == {
        ("openvino", "runtimes/openvino.py"),
        ("torch", "runtimes/torch.py"),
        ("torch", "checkpoint.py"),  # which reads pickles with it
    }


def test_what_is_installed_or_deployed_never_imports_transformers() -> None:
    """No extra has it: the tests hold the runtimes to it."""
    for path in modules("imagesearch") + modules("functions") + modules("inference_service"):
        assert "transformers" not in {name.split(".")[0] for name in imports(path)}, path


def test_nothing_but_tests_imports_tests() -> None:
    """What benchmarks need, too, such as random checkpoints, is in `tools/`."""
    for folder in ("imagesearch", "functions", "inference_service", "benchmarks", "tools"):
        for path in modules(folder):
            assert "tests" not in {name.split(".")[0] for name in imports(path)}, path


COMMAND_FILES = ", ".join(
    {f"imagesearch.cli.{place.split('.')[0]}" for place, _ in COMMANDS.values()}
)


# Read in this order by one process: what a later one loads is no fault of an earlier one.
STEPS = {
    "settings": "imagesearch.settings",
    "query": "imagesearch.compose.query",
    "fetch": "imagesearch.compose.fetch",
    "commands": COMMAND_FILES,
    "package": ", ".join(
        ".".join(parts)
        for parts in (
            path.relative_to(ROOT).with_suffix("").parts for path in modules("imagesearch")
        )
        if not {*OUTERMOST, "demo", "folders"} & {*parts} and parts[-1] != "__init__"
    ),
}


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    """What a clean process has loaded after each of the steps."""
    code = "".join(f"import sys, {names}\nprint(*sys.modules)\n" for names in STEPS.values())
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return dict(zip(STEPS, (set(line.split()) for line in run.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("step", STEPS)
def test_importing_loads_neither_torch_nor_a_cloud_sdk(
    loaded: dict[str, set[str]], step: str
) -> None:
    """Nor does all of the package but the local edition, which the last step reads."""
    assert loaded[step].issuperset(STEPS[step].split(", "))
    assert [name for name in loaded[step] if name.startswith(HEAVY)] == []


def test_what_the_sources_say_of_themselves_loads_no_http_client(
    loaded: dict[str, set[str]],
) -> None:
    """Every process reads it with the settings, and one alone asks a source."""
    assert "imagesearch.sources.pixabay" in loaded["settings"]
    clients = {"urllib3", "certifi", "requests", "imagesearch.sources.pixabay_listing"}
    assert not clients & loaded["settings"]


def test_no_test_sets_the_time_of_servers_that_run_in_threads_beside_it() -> None:
    """Asyncio's loop in such a thread would wait for hours: a module's own `time` is replaced."""
    sets_time = re.compile(r"setattr\(\s*['\"]?time\b['\"]?[.,]")
    for path in modules("tests"):
        assert not sets_time.search(path.read_text()), path
