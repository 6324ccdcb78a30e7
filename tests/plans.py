"""Plans of `terraform/` over a deployment that was made before, by Terraform itself.

No account is needed: the deployment is a state that is written here, of what `terraform test` makes
with a mocked provider, and nothing is refreshed.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.terraform import (
    IMAGE,
    OFFLINE_PROVIDERS,
    PROJECT,
    RUNS,
    TERRAFORM,
    applied,
    environment,
)

_ADDRESS = re.compile(r"(\w+)\.(\w+)(?:\[(.+)\])?")
# An address, the values there, and which of them are sensitive.
Resource = tuple[str, Mapping[str, Any], Mapping[str, Any]]
_GOOGLE = 'provider["registry.terraform.io/hashicorp/google"]'


class Deployment:
    """A copy of `terraform/` in *folder*, with the state of what the run *name* made."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.variables = RUNS[name]
        for source in TERRAFORM.glob("*.tf"):
            (folder / source.name).write_text(source.read_text())
        self.add_archive("empty.zip", (TERRAFORM / "tests" / "empty.zip").read_bytes())
        self.terraform("init", "-input=false")
        self._give({})
        # What is Terraform's own, and so can be made without Google.
        own = ("-target=terraform_data.deployment", "-target=terraform_data.first_key")
        self.terraform("apply", "-auto-approve", *own)
        self._add_to_state((one.address, one.values, {}) for one in applied(name).resources)
        # The mocks leave a provider's defaults out, which its plans have, and what is sensitive.
        self._add_to_state(
            (one["address"], one["change"]["after"], one["change"]["after_sensitive"])
            for one in self.plan()["resource_changes"]
        )

    def plan(self, **variables: object) -> dict[str, Any]:
        """Return the plan of what *variables*, and the files as they are now, change."""
        self._give(variables)
        return self.planned()

    def planned(self) -> dict[str, Any]:
        """Return the plan of what the files as they are now change."""
        self.terraform("plan", "-input=false", "-refresh=false", "-lock=false", "-out=plan")
        planned: dict[str, Any] = json.loads(self.terraform("show", "-json", "plan"))
        return planned

    @contextmanager
    def edited(self, file: str, was: str, becomes: str) -> Iterator[None]:
        """Have *becomes* in the place of *was*, which *file* has once."""
        path = self.folder / file
        text = path.read_text()
        assert text.count(was) == 1 or not was, was
        path.write_text(text.replace(was, becomes) if was else text + becomes)
        try:
            yield
        finally:
            path.write_text(text)

    def add_archive(self, name: str, data: bytes) -> None:
        (self.folder / name).write_bytes(data)

    def terraform(self, *arguments: str) -> str:
        ended = subprocess.run(
            ["terraform", *arguments, "-no-color"],
            cwd=self.folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def _give(self, variables: Mapping[str, object]) -> None:
        given = {
            "project_id": PROJECT,
            "inference_image": IMAGE,
            "function_archives": {"query": "empty.zip", "fetch": "empty.zip"},
            **self.variables,
            **variables,
        }
        (self.folder / "terraform.tfvars.json").write_text(json.dumps(given))

    def _add_to_state(self, resources: Iterable[Resource]) -> None:
        path = self.folder / "terraform.tfstate"
        state = json.loads(path.read_text())
        own = [one for one in state["resources"] if one["type"] == "terraform_data"]
        path.write_text(json.dumps({**state, "resources": [*own, *_grouped(resources)]}))


def _grouped(resources: Iterable[Resource]) -> list[dict[str, Any]]:
    """Return *resources* as a state has them: each once, with its instances."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for address, values, sensitive in resources:
        match = _ADDRESS.fullmatch(address)
        if match is None or match[1] == "terraform_data":
            continue  # a data source, which is read anew, or the one that is there
        kind, name, key = match.groups()
        instance = {
            "schema_version": 0,
            "attributes": values,
            "sensitive_attributes": [
                [{"type": "get_attr", "value": attribute}]
                for attribute, whole in sensitive.items()
                if whole is True
            ],
        }
        if key is not None:
            instance["index_key"] = json.loads(key)
        entry = {"mode": "managed", "type": kind, "name": name, "provider": _GOOGLE}
        found.setdefault((kind, name), {**entry, "instances": []})["instances"].append(instance)
    return list(found.values())


@contextmanager
def deployment(name: str) -> Iterator[Deployment]:
    """Give what the run *name* of tests/terraform.py makes, as something that is deployed."""
    if not OFFLINE_PROVIDERS.exists():
        pytest.skip("Google's own provider asks Google, and would bring this state up to date")
    with TemporaryDirectory(prefix="terraform-") as folder:
        yield Deployment(Path(folder), name)
