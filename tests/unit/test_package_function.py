"""The deployable zips: what is in them, that they are the same everywhere, what is refused."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path

import pytest

from tests.cloud_environment import CLOUD
from tools.package_function import FUNCTIONS, SERVED, CannotPackage, package, reached

ROOT = Path(__file__).resolve().parents[2]
each_function = pytest.mark.parametrize("function", FUNCTIONS)


@cache
def packed(function: str) -> bytes:
    return package(function)


def unpacked(archived: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archived)) as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


def run_tool(
    *arguments: str, cwd: Path = ROOT, umask: int = -1
) -> subprocess.CompletedProcess[str]:
    # -S: the tool needs no package but Python's own.
    return subprocess.run(
        [sys.executable, "-S", "-m", "tools.package_function", *arguments],
        cwd=cwd,
        umask=umask,
        capture_output=True,
        text=True,
    )


# What is in them


@each_function
def test_a_zip_holds_the_function_its_pins_and_what_its_imports_reach(function: str) -> None:
    files = unpacked(packed(function))
    folder = ROOT / "functions" / function
    assert files.pop("main.py") == (folder / "main.py").read_bytes()
    assert files.pop("requirements.txt") == (folder / "requirements.txt").read_bytes()
    assert {"imagesearch/__init__.py", "imagesearch/compose/start.py"} < set(files)
    for name, data in files.items():
        assert data == (ROOT / name).read_bytes()
        assert name.startswith(("imagesearch/", *(f"{folder}/" for folder in SERVED[function])))


@each_function
def test_a_zip_holds_the_whole_of_the_folders_that_its_function_serves(function: str) -> None:
    files = unpacked(packed(function))
    for folder in SERVED[function]:
        whole = {path for path in (ROOT / folder).rglob("*") if path.is_file()}
        assert whole == {ROOT / name for name in files if name.startswith(f"{folder}/")}
    assert any(SERVED.values())


@each_function
def test_a_zip_holds_no_file_that_nothing_in_it_imports(function: str) -> None:
    files = unpacked(packed(function))
    assert not [name for name in files if name.startswith("imagesearch/local")]
    text = b"\n".join(data for name, data in files.items() if name.endswith(".py")).decode()
    for name in files:
        module = name.removesuffix(".py").replace("/", ".")
        if not name.startswith("imagesearch/") or module.endswith("__init__"):
            continue
        package_name, _, last = module.rpartition(".")
        whole = rf"^\s*(from|import) {re.escape(module)}\b"
        parts = rf"^\s*from {re.escape(package_name)} import .*\b{last}\b"
        assert re.search(f"{whole}|{parts}", text, re.MULTILINE), name


EVERYTHING = """
import importlib, pathlib, sys
sys.path.insert(0, ".")
for path in pathlib.Path(".").rglob("*.py"):
    module = importlib.import_module(".".join(path.with_suffix("").parts))
    assert pathlib.Path(module.__file__).is_relative_to(pathlib.Path.cwd()), module
ours = [module for name, module in sys.modules.items() if name.partition(".")[0] == "imagesearch"]
assert len(ours) > 20
assert all(pathlib.Path(one.__file__).is_relative_to(pathlib.Path.cwd()) for one in ours), ours
"""


@each_function
def test_everything_in_an_unpacked_zip_imports_from_it_alone(function: str, tmp_path: Path) -> None:
    zipfile.ZipFile(io.BytesIO(packed(function))).extractall(tmp_path)
    subprocess.run([sys.executable, "-I", "-c", EVERYTHING], cwd=tmp_path, env=CLOUD, check=True)


# The same everywhere


@each_function
def test_a_copy_of_other_times_permissions_and_place_gives_the_same_bytes(
    function: str, tmp_path: Path
) -> None:
    copy = tmp_path / "a copy" / "elsewhere"
    for name in ("functions", "imagesearch", "tools", "web"):
        shutil.copytree(ROOT / name, copy / name, copy_function=shutil.copy)
    for lock in ROOT.glob("*.lock"):
        shutil.copy(lock, copy)
    for number, path in enumerate(sorted(copy.rglob("*"))):
        path.chmod(0o700 if path.is_dir() or number % 2 else 0o444)
        os.utime(path, (1e9 + number, 2e9 - number))
    (copy / "imagesearch" / "stray.py").write_text("import nothing")
    done = run_tool(function, "--output", "new folder/zip", cwd=copy, umask=0o077)
    assert done.returncode == 0, done.stderr
    assert (copy / "new folder" / "zip").read_bytes() == packed(function)


@each_function
def test_entries_are_sorted_readable_and_of_no_date_or_system(function: str) -> None:
    with zipfile.ZipFile(io.BytesIO(packed(function))) as archive:
        entries = archive.infolist()
    assert [entry.filename for entry in entries] == sorted({one.filename for one in entries})
    for entry in entries:
        assert entry.date_time == (1980, 1, 1, 0, 0, 0)
        assert entry.external_attr == 0o100644 << 16
        assert (entry.create_system, entry.extra, entry.comment) == (3, b"", b"")
        assert entry.compress_type == zipfile.ZIP_STORED  # compressors differ between machines


def test_the_command_prints_the_path_and_the_sha256_of_what_it_wrote(tmp_path: Path) -> None:
    output = tmp_path / "query.zip"
    done = run_tool("query", "--output", str(output))
    digest = hashlib.sha256(output.read_bytes()).hexdigest()
    assert done.stdout == f"{output} sha256 {digest}\n"


def test_the_help_has_an_example_that_works(tmp_path: Path) -> None:
    shown = " ".join(run_tool("--help").stdout.split())
    example = shown.partition("example: python -m tools.package_function ")[2].split()
    assert example == ["query", "--output", "build/query.zip"]
    assert run_tool(*example[:2], str(tmp_path / example[2])).returncode == 0


def test_bad_arguments_are_refused_by_name(tmp_path: Path) -> None:
    wrong = run_tool("score")
    assert wrong.returncode == 2
    assert "argument function: invalid choice: 'score'" in wrong.stderr
    folder = run_tool("query", "--output", str(tmp_path))
    assert folder.returncode == 1
    assert f"{tmp_path} cannot be used: Is a directory" in folder.stderr


# The packages


@each_function
def test_the_direct_requirements_are_what_the_code_imports(function: str) -> None:
    text = (ROOT / "functions" / function / "requirements.in").read_text()
    direct = {re.split(r"[\[ ]", line)[0] for line in text.splitlines() if line[:1] != "#"}
    used = {distribution_of(name) for name in reached(function).imports}
    assert direct == used - {None}


def distribution_of(name: str) -> str | None:
    """Return the package that gives the module *name*, or the one it is imported from."""
    if name.partition(".")[0] in (*sys.stdlib_module_names, "__future__"):
        return None
    spec = importlib.util.find_spec(name) if is_module(name) else None
    if spec is None:
        return distribution_of(name.rpartition(".")[0])
    assert spec.origin is not None, f"{name} is a namespace, not a module"
    return owners()[spec.origin]


def is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # what it would be in is no package
        return False


@cache
def owners() -> dict[str, str]:
    """Return the package of each installed file."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.name).lower()  # read anew each time
        found |= {str(distribution.locate_file(file)): name for file in distribution.files or ()}
    return found


# What few buckets need, and a zip is made without: imagesearch/folders/formats.py.
LARGE = set(
    "torch transformers openvino rich typer httpx a2wsgi pandas pyarrow pillow-heif".split()
)


@each_function
def test_the_pins_hold_no_large_package_and_name_no_place(function: str) -> None:
    """The one that decodes pictures has Pillow, which `test_cold_start.py` keeps out of a start."""
    text = (ROOT / "functions" / function / "requirements.txt").read_text()
    pinned = set(re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE))
    assert "functions-framework" in pinned
    assert not pinned & LARGE
    assert ("pillow" in pinned) is (function == "fetch")
    assert not re.search(r"https?:|file:|/(tmp|home|opt|usr|work)/|--(extra-)?index|--find", text)


# What is refused, on a project of a few lines

PIN = "numpy==2.0.1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n    # via x\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {
        "functions/query/main.py": "from imagesearch import a\n",
        "functions/query/requirements.txt": f"# a comment\n\n{PIN}",
        "requirements.lock": "redis==5.0\n",
        "requirements-dev.lock": "# x\nNumPy==2.0.1  # why\nredis==5.0\n",
        "imagesearch/__init__.py": "",
        "imagesearch/a.py": "def late():\n    import imagesearch.inner.b, json\n",
        "imagesearch/inner/__init__.py": "",
        "imagesearch/inner/b.py": (
            "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    from imagesearch import typed\n"
            "else:\n    import redis\n"
        ),
        "imagesearch/typed.py": "",
        "imagesearch/local/__init__.py": "",
        "imagesearch/local/embedded/stack.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_imports_in_functions_are_followed_and_those_for_types_are_not(project: Path) -> None:
    found = reached("query", project)
    assert sorted(found.files) == [
        "imagesearch/__init__.py",
        "imagesearch/a.py",
        "imagesearch/inner/__init__.py",
        "imagesearch/inner/b.py",
    ]
    assert {"json", "redis"} < found.imports
    assert set(unpacked(package("query", project))) == {"main.py", "requirements.txt", *found.files}


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("requirements-dev.lock", "numpy==2.0.2\n", "has numpy 2.0.1, requirements-dev.lock has 2"),
        ("requirements-dev.lock", "", "numpy 2.0.1, requirements-dev.lock lacks it"),
        ("requirements.lock", "numpy==2.0.0\n", "has numpy 2.0.1, requirements.lock has 2.0.0"),
        ("functions/query/requirements.txt", "numpy==2.0.1\n", "numpy has no sha256 hash"),
        ("functions/query/requirements.txt", "numpy>=2\n", "must pin .*, got 'numpy>=2'"),
        ("functions/query/requirements.txt", "--index-url x\n", "got '--index-url x'"),
        ("functions/query/requirements.txt", "# nothing\n", "pins no package"),
        ("imagesearch/a.py", "from imagesearch.local import stack\n", "a.py imports .*local"),
        ("imagesearch/a.py", "from imagesearch import local\n", "a.py imports imagesearch.local"),
        ("imagesearch/a.py", "\nfrom . import typed\n", r"a.py:2 imports relatively"),
    ],
)
def test_what_would_not_work_as_deployed_is_refused(
    project: Path, file: str, text: str, message: str
) -> None:
    (project / file).write_text(text)
    with pytest.raises(CannotPackage, match=message):
        package("query", project)


def test_what_the_code_does_without_is_no_requirement_and_what_it_imports_then_is(
    project: Path,
) -> None:
    (project / "imagesearch/a.py").write_text(
        "try:\n    import an_extra\n    from imagesearch import typed\n"
        "except ImportError:\n    import redis\n"
        "try:\n    import needed\nexcept OSError:\n    pass\n"
    )
    found = reached("query", project)
    assert found.imports == {"redis", "needed"}
    assert "imagesearch/typed.py" in found.files


def test_a_function_without_pins_is_told_how_to_get_them(project: Path) -> None:
    (project / "functions/query/requirements.txt").unlink()
    with pytest.raises(CannotPackage, match=r"requirements.txt is missing; `make lock`"):
        package("query", project)


def test_a_function_that_there_is_none_of_is_refused() -> None:
    with pytest.raises(CannotPackage, match="one of query, fetch, got 'score'"):
        package("score")
