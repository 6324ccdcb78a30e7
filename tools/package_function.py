"""Stages the zip that Cloud Functions deploys: a function, its pins, our files that it needs.

The needed files of `imagesearch/` are those that its imports reach, those inside functions too; of
the folders that a function serves, all. The zip is the same, byte for byte, wherever and whenever
it is made from the same files. It runs on Python alone, so that a deployment needs no virtual
environment.

Usage: python -m tools.package_function query --output build/query.zip
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import io
import re
import stat
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FUNCTIONS = ("query", "fetch")
SERVED = {"query": ("web",), "fetch": ()}  # folders whose files a function serves, whole
PACKAGE = "imagesearch"
# The one-machine edition, which mounts the functions, and what only that has.
NEVER = tuple(f"{PACKAGE}.{room}." for room in ("local", "cli", "demo"))
LOCKS = ("requirements.lock", "requirements-dev.lock")

_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can hold
_MODE = stat.S_IFREG | 0o644
_UNIX = 3  # the system that a zip's permissions are those of
_PIN = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)(\[[^]]*\])?==(?P<version>[^\s;]+)(?P<rest>.*)", re.DOTALL
)
_MEND = "`make lock` writes it anew"


class CannotPackage(Exception):
    """The zip would not work as deployed; the message says what must be mended."""


@dataclass(frozen=True)
class Reached:
    """
    What a function's imports reach.

    Attributes:
        files: of `imagesearch/`, by their paths in the zip.
        imports: names of other packages' modules, and of what is imported from them, but for what
            the code does without where it is not installed.
    """

    files: Mapping[str, Path]
    imports: frozenset[str]


def package(function: str, root: Path = ROOT) -> bytes:
    """
    Return the zip of `functions/{function}` in the project at *root*.

    Raises:
        CannotPackage: an import that the zip cannot hold, or pins that are not those of the locks.
    """
    main = _main(function, root)
    contents = {
        "main.py": main.read_bytes(),
        "requirements.txt": _requirements(function, root),
        **{name: path.read_bytes() for name, path in reached(function, root).files.items()},
        **{name: path.read_bytes() for name, path in served(function, root).items()},
    }
    packed = io.BytesIO()
    # Stored, not compressed: what zlib makes of the same bytes depends on its version.
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(contents):
            archive.writestr(_entry(name), contents[name])
    return packed.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EARLIEST)
    entry.create_system = _UNIX
    entry.external_attr = _MODE << 16
    return entry


def _main(function: str, root: Path) -> Path:
    if function not in FUNCTIONS:
        raise CannotPackage(f"function must be one of {', '.join(FUNCTIONS)}, got {function!r}")
    return root / "functions" / function / "main.py"


# What is needed


def reached(function: str, root: Path = ROOT) -> Reached:
    """
    Follow the imports of a function through our package.

    Raises:
        CannotPackage: one leads to the one-machine edition, or is relative.
    """
    files: dict[str, Path] = {}
    imports: set[str] = set()
    followed: set[str] = set()
    waiting = [_main(function, root)]
    while waiting:
        path = waiting.pop()
        names = _imported(path) - followed
        followed |= names
        for name in names:
            if name.partition(".")[0] != PACKAGE:
                imports.add(name)
                continue
            if f"{name}.".startswith(NEVER):
                raise CannotPackage(f"{path.relative_to(root)} imports {name}, of one machine only")
            for file in _files_of(name, root):
                inside = file.relative_to(root).as_posix()
                if inside not in files:
                    files[inside] = file
                    waiting.append(file)
    return Reached(files, frozenset(imports))


def served(function: str, root: Path = ROOT) -> dict[str, Path]:
    """Return the files that a function serves, by their paths in the zip."""
    files = [file for folder in SERVED[function] for file in (root / folder).rglob("*")]
    return {file.relative_to(root).as_posix(): file for file in files if file.is_file()}


def _files_of(name: str, root: Path) -> list[Path]:
    """Return what importing *name* runs: its packages' files and, if it is a module, its own."""
    parts = name.split(".")
    paths = [root.joinpath(*parts[:length]) for length in range(1, len(parts) + 1)]
    files = [file for path in paths for file in (path / "__init__.py", path.with_suffix(".py"))]
    return [file for file in files if file.is_file()]


def _imported(path: Path) -> frozenset[str]:
    """Return the names that *path* imports when it runs, wherever in it that is."""
    visitor = _Imports(path)
    visitor.visit(ast.parse(path.read_bytes(), str(path)))
    return frozenset(visitor.names)


class _Imports(ast.NodeVisitor):
    def __init__(self, path: Path) -> None:
        self.names: set[str] = set()
        self._path = path

    def visit(self, node: ast.AST) -> None:
        """Visit statements alone: no expression imports anything."""
        if not isinstance(node, ast.expr):
            super().visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.names |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level or node.module is None:
            raise CannotPackage(f"{self._path}:{node.lineno} imports relatively")
        # `from package import module` and `from module import thing` look the same.
        self.names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}

    def visit_Try(self, node: ast.Try) -> None:
        """Leave out what may be absent: a zip has no package that is an extra."""
        if not any(_catches_import_error(handler) for handler in node.handlers):
            self.generic_visit(node)
            return
        tried = _Imports(self._path)
        for statement in node.body:
            tried.visit(statement)
        self.names |= {name for name in tried.names if name.partition(".")[0] == PACKAGE}
        for other in (*node.handlers, *node.orelse, *node.finalbody):
            self.visit(other)

    def visit_If(self, node: ast.If) -> None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for other in node.orelse:  # what only a type checker imports does not run
                self.visit(other)
        else:
            self.generic_visit(node)


def _catches_import_error(handler: ast.ExceptHandler) -> bool:
    return isinstance(handler.type, ast.Name) and handler.type.id == "ImportError"


# The packages


def _requirements(function: str, root: Path) -> bytes:
    """Return the function's requirements.txt, once it is known to be what the tests ran with."""
    path = root / "functions" / function / "requirements.txt"
    name = path.relative_to(root).as_posix()
    if not path.is_file():
        raise CannotPackage(f"{name} is missing; {_MEND}")
    text = path.read_text(encoding="utf-8")
    pins = _hashed_pins(text, name)
    if not pins:
        raise CannotPackage(f"{name} pins no package; {_MEND}")
    for lock in LOCKS:
        _compare(pins, _pins((root / lock).read_text(encoding="utf-8")), name, lock)
    return text.encode()


def _compare(pins: Mapping[str, str], locked: Mapping[str, str], name: str, lock: str) -> None:
    for package_name, version in pins.items():
        expected = locked.get(package_name)
        if expected is None and lock != LOCKS[-1]:
            continue  # the cloud's packages are in the last one only
        if version != expected:
            has = f"has {expected}" if expected else "lacks it"
            raise CannotPackage(f"{name} has {package_name} {version}, {lock} {has}; {_MEND}")


def _hashed_pins(text: str, name: str) -> dict[str, str]:
    """Return the versions by package, or CannotPackage when one is not pinned or has no hash."""
    pins = {}
    for line in _lines(text):
        pin = _PIN.fullmatch(line)
        if pin is None:
            raise CannotPackage(f"{name}: every line must pin a version with ==, got {line[:60]!r}")
        if "--hash=sha256:" not in pin["rest"]:
            raise CannotPackage(f"{name}: {pin['name']} has no sha256 hash; {_MEND}")
        pins[_normalised(pin["name"])] = pin["version"]
    return pins


def _pins(text: str) -> dict[str, str]:
    pins = (_PIN.fullmatch(line) for line in _lines(text))
    return {_normalised(pin["name"]): pin["version"] for pin in pins if pin}


def _lines(text: str) -> Iterator[str]:
    """Yield the requirements of *text*, each on one line, without the comments."""
    for line in text.replace("\\\n", " ").splitlines():
        requirement = re.sub(r"(^|\s)#.*", "", line).strip()
        if requirement:
            yield requirement


def _normalised(name: str) -> str:
    """
    Return a package's name in the spelling that all its spellings have in common.

    Source: https://packaging.python.org/en/latest/specifications/name-normalization/
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    """Write the zip; print its path and its sha256."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.package_function",
        description="Stage the zip that Cloud Functions deploys.",
        epilog="example: python -m tools.package_function query --output build/query.zip",
    )
    parser.add_argument("function", choices=FUNCTIONS)
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="where to write it (build/FUNCTION.zip)"
    )
    arguments = parser.parse_args()
    output: Path = arguments.output or Path("build", f"{arguments.function}.zip")
    try:
        packed = package(arguments.function)
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(packed)
    except CannotPackage as error:
        sys.exit(f"{parser.prog}: {error}")
    except OSError as error:
        sys.exit(f"{parser.prog}: {error.filename} cannot be used: {error.strerror}")
    print(f"{output} sha256 {hashlib.sha256(packed).hexdigest()}")


if __name__ == "__main__":
    main()
