"""What every page of the documentation says to type is there: commands, options, targets, modules.

Those that need neither Google nor minutes are run besides, by `test_readme.py` and `test_tours.py`.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from imagesearch.cli.main import COMMANDS, program
from tests.site import site_of_project
from tools.docs_site.pages import Site

ROOT = Path(__file__).resolve().parents[2]
OURS = re.compile(r"(?:\S*/)?imagesearch(?: |$)")
MODULE = re.compile(r"(?:\S*/)?python3? -m ([\w.]+)")
# Those that are installed beside ours, by a line above or by Python.
OF_OTHERS = {"pip", "venv", "json", "http"}
# What was typed on its day, and what the changes of that page add, by whose test it is tried.
NOT_OF_TODAY = {"CHANGELOG.md", "docs/where-does-my-change-go.md"}


@pytest.fixture(scope="module")
def site() -> Site:
    return site_of_project()


def blocks(site: Site, language: str) -> Iterator[tuple[str, str]]:
    """Yield the source of each page and each block of *language* in it, those of lists, too."""
    for page in site.pages.values():
        for token in page.tokens:
            if token.type == "fence" and token.info.split(" ")[0] == language:
                yield page.source, token.content


def commands(site: Site) -> Iterator[tuple[str, str]]:
    """Yield each line of a block for a shell, and each command in the running text."""
    for source, block in blocks(site, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            yield source, re.sub(r"^(?:[A-Z_]+=\S+ )+", "", line.strip())
    for page in site.pages.values():
        if page.source in NOT_OF_TODAY or page.source.startswith("docs/decisions/"):
            continue
        for token in page.tokens:
            for child in token.children or ():
                if child.type == "code_inline":
                    yield page.source, re.sub(r"^(?:[A-Z_]+=\S+ )+", "", child.content)


def test_every_block_for_a_shell_is_one(site: Site) -> None:
    found = list(blocks(site, "sh"))
    assert len(found) > 50
    for source, block in found:
        checked = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
        assert checked.returncode == 0, f"{source}: {checked.stderr}"


def test_every_command_of_ours_has_the_options_that_are_named(site: Site) -> None:
    known = typer.main.get_command(program(COMMANDS))
    assert isinstance(known, TyperGroup)
    checked = 0
    for source, line in commands(site):
        if not OURS.match(line) or "…" in line or line.endswith((".py", "/")):
            continue
        words = shlex.split(line, comments=True)[1:]
        if not words or not re.fullmatch(r"[a-z-]+", words[0]):
            continue
        assert words[0] in known.commands, f"{source}: {line}"
        command = known.commands[words[0]]
        options = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
        named = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert named <= options | {"--help"}, f"{source}: {line}"
        checked += 1
    assert checked > 40


def test_every_make_target_and_module_is_one(site: Site) -> None:
    makefile = (ROOT / "Makefile").read_text()
    checked = 0
    for source, line in commands(site):
        if target := re.match(r"make ([a-z-]+)", line):
            assert re.search(rf"^{target[1]}:", makefile, re.M), f"{source}: {line}"
        elif module := MODULE.match(line):
            is_there = module[1].partition(".")[0] in OF_OTHERS or importlib.util.find_spec(
                module[1]
            )
            assert is_there, f"{source}: {line}"
        checked += bool(target or MODULE.match(line))
    assert checked > 40


def test_every_block_of_json_and_python_can_be_read(site: Site) -> None:
    for source, block in blocks(site, "json"):
        assert json.loads(block), source
    for source, block in blocks(site, "python"):
        # Some are of the inside of a class or a function.
        ast.parse(block if not block.startswith(" ") else f"if True:\n{block}", source)


def test_every_block_says_what_it_is_of(site: Site) -> None:
    """One of another language is tried by nobody: add who does."""
    known = {"sh", "json", "python", "hcl", "terraform", "html", "js", "toml", ""}
    languages = {
        token.info.split(" ")[0]
        for page in site.pages.values()
        for token in page.tokens
        if token.type == "fence"
    }
    assert languages <= known
