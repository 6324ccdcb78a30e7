"""Dependencies point inward (design §3), read from the imports themselves."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# functions-framework brings `google.cloud.functions`, a file of its own; the SDKs bring the rest.
SDKS = ("google.cloud.storage", "google.cloud.pubsub", "google.cloud.firestore", "google.api_core")
HEAVY = ("torch", "transformers", "pandas", "PIL", "grpc", *SDKS)

# Each room, and the rooms of ours that it may import. A room is a module or a package.
ALLOWED = {
    "imagesearch.errors": {"imagesearch.printable"},
    "imagesearch.model": set(),
    "imagesearch.messages": {"imagesearch.errors", "imagesearch.model"},
    "imagesearch.ports": {"imagesearch.errors", "imagesearch.messages", "imagesearch.model"},
    "imagesearch.clock": set(),
    "imagesearch.topics": {"imagesearch.messages"},
    "imagesearch.deployment": {"imagesearch.topics"},
    "imagesearch.setting_types": {"imagesearch.model"},
    "imagesearch.config": {
        "imagesearch.errors",
        "imagesearch.model",
        "imagesearch.setting_types",
    },
    "imagesearch.work": {"imagesearch.errors"},
    "imagesearch.printable": set(),
    "imagesearch.logs": {"imagesearch.printable", "imagesearch.work"},
    "imagesearch.push": {
        "imagesearch.errors",
        "imagesearch.messages",
        "imagesearch.topics",
        "imagesearch.work",
    },
    "imagesearch.clients": {"imagesearch.errors", "imagesearch.ports"},
    "imagesearch.bodies": {"imagesearch.work"},
    "imagesearch.wsgi_door": {"imagesearch.bodies"},
    "imagesearch.asgi_door": {"imagesearch.bodies"},
    "imagesearch.uvicorn_protocol": {"imagesearch.bodies"},
    "imagesearch.search": {
        "imagesearch.clients",
        "imagesearch.work",
        "imagesearch.errors",
        "imagesearch.messages",
        "imagesearch.model",
        "imagesearch.ports",
    },
}
USE_CASES = ("imagesearch.search", "imagesearch.fetch", "imagesearch.embed", "imagesearch.score")
for use_case in USE_CASES:
    ALLOWED[use_case] = ALLOWED["imagesearch.search"]
ALLOWED["imagesearch.downloads"] = ALLOWED["imagesearch.search"]
ALLOWED["imagesearch.fetch"] = {*ALLOWED["imagesearch.search"], "imagesearch.downloads"}
ALLOWED["imagesearch.adapters"] = {
    "imagesearch.adapters",
    "imagesearch.work",
    "imagesearch.clock",
    "imagesearch.deployment",
    "imagesearch.topics",
    "imagesearch.errors",
    "imagesearch.messages",
    "imagesearch.model",
    "imagesearch.ports",
}
ALLOWED["imagesearch.http_api"] = {
    "imagesearch.errors",
    "imagesearch.messages",
    "imagesearch.model",
    "imagesearch.search",
}
ALLOWED["imagesearch.bootstrap"] = {
    *USE_CASES,
    "imagesearch.adapters",
    "imagesearch.logs",
    "imagesearch.clock",
    "imagesearch.topics",
    "imagesearch.config",
    "imagesearch.errors",
    "imagesearch.ports",
}


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            assert node.module is not None
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(module: str) -> str:
    return ".".join(module.split(".")[:2])


@pytest.mark.parametrize(
    "path", modules("imagesearch"), ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_module_imports_only_rooms_further_in(path: Path) -> None:
    here = room(".".join(path.relative_to(ROOT).with_suffix("").parts))
    if here in ("imagesearch.__init__", "imagesearch.local"):
        return
    ours = {room(name) for name in imports(path) if name.startswith("imagesearch.")}
    assert ours <= ALLOWED[here]


def test_nothing_imports_an_entry_point_but_the_local_stack() -> None:
    outer = ("functions.", "inference_service.", "imagesearch.local")
    for path in modules("imagesearch") + modules("functions"):
        if path.is_relative_to(ROOT / "imagesearch" / "local"):
            continue
        assert not [name for name in imports(path) if name.startswith(outer)], path


def test_only_the_stack_of_the_local_edition_mounts_the_services() -> None:
    mounting = [
        path.name
        for path in modules("imagesearch/local")
        if any(name.startswith(("functions", "inference_service")) for name in imports(path))
    ]
    assert mounting == ["stack.py"]


@pytest.mark.parametrize(
    "module", ["imagesearch.bootstrap", "imagesearch.local.cli", "functions.query.main"]
)
def test_importing_loads_neither_torch_nor_a_cloud_sdk(module: str) -> None:
    """Proved in a clean process."""
    code = f"import sys, {module}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = run.stdout.split()
    assert "imagesearch.model" in loaded
    assert [name for name in loaded if name.startswith(HEAVY)] == []


def test_importing_every_module_of_the_package_but_the_local_edition_stays_light() -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in modules("imagesearch")
        if "local" not in path.parts and path.name != "__init__.py"
    ]
    code = f"import sys, {', '.join(names)}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [name for name in run.stdout.split() if name.startswith(HEAVY)] == []
