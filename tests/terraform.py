"""Applies `terraform/` with a mocked provider, as `terraform test` does, and returns what came out.

No account is needed. The provider's schema comes from ../shared/terraform-check where that is
there, else from Terraform's registry, as for anyone with a network. Terraform must be 1.11 or
later here, which first gives each run a state of its own, where a deployer's may be older.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.once import SHARED, once

ROOT = Path(__file__).resolve().parents[1]
TERRAFORM = ROOT / "terraform"
OFFLINE_PROVIDERS = ROOT.parent / "shared" / "terraform-check" / "check"

PROJECT = "example-project"
PROJECT_NUMBER = "123456789012"
OTHER_PROJECT_NUMBER = "210987654321"  # that a bucket is of
KEY = "projects/their-keys/locations/europe-west4/keyRings/ring/cryptoKeys/key"
IMAGE = f"registry.example.com/inference@sha256:{'0' * 64}"
_FULL: Mapping[str, object] = {  # everything at once
    "inference_profile": "split",
    "library": "postgres",
    "memorystore_enabled": True,
    "domain": "search.example.com",
    "image_sources": ["pixabay", "commons", "openverse"],
    "source_contact": "ops@example.com",
    "allowed_origins": ["https://app.example.com"],
    "api_key": {"secret": "imagesearch-api-key", "version": "3"},
    "alert_email": "ops@example.com",
    "notification_channels": [f"projects/{PROJECT}/notificationChannels/123"],
    "drift_schedule": "41 5 * * 1",
    "update_schedule": "11 3 1 * *",
    "scan_images": True,
    "state_bucket": f"{PROJECT}-imagesearch-state",
    "budget": {"billing_account": "012345-6789AB-CDEF01", "monthly_amount": 100},
    "collections": {
        "My photos": {"bucket": "example-photos"},
        "Work": {
            "bucket": "example-work",
            "prefix": "pictures/2026",
            "keep_place": True,
            "project_number": OTHER_PROJECT_NUMBER,
        },
    },
}
RUNS: Mapping[str, Mapping[str, object]] = {
    "default": {},
    "braked": {
        "memorystore_enabled": True,
        "budget": {
            "billing_account": "012345-6789AB-CDEF01",
            "monthly_amount": 100,
            "stops_new_work": True,
        },
    },
    "full": _FULL,
    "beside": {**_FULL, "name": "imagesearch-dev", "domain": "beside.example.com"},
    "closed": {  # all that a company may have closed
        "door": "iap",
        "domain": "search.example.com",
        "iap_members": ["group:search@example.com"],
        "private_images": True,
        "kms_key": KEY,
        "shared_network": {
            "network": "projects/their-network/global/networks/shared",
            "subnetwork": "projects/their-network/regions/europe-west4/subnetworks/search",
            "cidr": "10.20.0.0/24",
        },
        "memorystore_enabled": True,
        "library": "postgres",
        "drift_schedule": "41 5 * * 1",
        "update_schedule": "11 5 * * 1",
        "state_bucket": f"{PROJECT}-imagesearch-state",
    },
    "refused": {
        "region": "us-west1",
        "inference_image": "registry.example.com/inference:latest",
        "door": "iap",
        "function_archives": {"query": "../build/absent.zip", "fetch": "empty.zip"},
        "collections_schedule": "61 * 32 * *",
        "pools": {"category": "cats", "colors": "red,mauve"},
        "postgres": {"tier": "db-custom-3-8192", "disk_gb": 65537},
        "budget": {"billing_account": "mine", "monthly_amount": 0.5, "currency": "€"},
        "collections": {
            "Photos": {"bucket": f"gs://{PROJECT}-photos", "prefix": "/2026"},
            "photos": {"bucket": f"{PROJECT}-imagesearch-images"},
            "all of it": {"bucket": "example-photos", "prefix": ""},
            "a part": {"bucket": "example-photos", "prefix": "2026", "project_number": "mine"},
        },
    },
}

# What is refused needs no more than the variables: to plan everything takes a second more.
_MODULES = {"refused": '  module { source = "./tests/variables" }\n'}

_MOCKS = f"""
mock_provider "google" {{
  mock_resource "google_redis_instance" {{
    defaults = {{ host = "10.8.0.3", port = 6378 }}
  }}
  mock_resource "google_compute_address" {{
    defaults = {{ address = "10.8.0.9" }}
  }}
  mock_data "google_storage_project_service_account" {{
    defaults = {{
      member = "serviceAccount:service-{PROJECT_NUMBER}@gs-project-accounts.iam.gserviceaccount.com"
    }}
  }}
}}
override_data {{
  target = data.google_project.this
  values = {{ number = "{PROJECT_NUMBER}" }}
}}
"""


@dataclass(frozen=True)
class Resource:
    """A resource as it was applied; *address* is as Terraform prints it."""

    address: str
    type: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Applied:
    """What one run left in the state."""

    resources: tuple[Resource, ...]
    outputs: Mapping[str, Any]

    def of(self, *types: str) -> list[Resource]:
        """Return the resources of *types*, without the `google_` that each begins with."""
        return [one for one in self.resources if one.type.removeprefix("google_") in types]

    def __getitem__(self, address: str) -> Mapping[str, Any]:
        """Return the values of the resource at *address*."""
        return next(one.values for one in self.resources if one.address == address)


@cache
def applied(name: str) -> Applied:
    """Return what a run of RUNS made."""
    messages = [one for one in _messages() if one.get("@testrun") == name]
    errors = [one["diagnostic"] for one in messages if one["type"] == "diagnostic"]
    assert not [one for one in errors if one["severity"] == "error"], errors
    (state,) = (one["test_state"] for one in messages if one["type"] == "test_state")
    return _applied(state)


def refusals(name: str) -> list[str]:
    """Return what is said to the person who gives the variables of a run of RUNS."""
    return [
        one["diagnostic"]["detail"]
        for one in _messages()
        if one["type"] == "diagnostic" and one.get("@testrun") == name
    ]


def _messages() -> list[dict[str, Any]]:
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed")
    messages = _tested()[0]
    if messages is None:
        pytest.skip("the provider's schema cannot be had: no network")
    return messages


def waits_for(address: str) -> set[str]:
    """Return all that Terraform makes before the resource at *address*, itself included."""
    found, to_see = set(), [address]
    while to_see:
        one = to_see.pop()
        if one not in found:
            found.add(one)
            to_see += _tested()[1].get(one, ())
    return found


@cache
def _tested() -> tuple[list[dict[str, Any]] | None, Mapping[str, list[str]]]:
    """
    Return what `terraform test` reports of RUNS, each over its own state; None: no network.

    With it what `terraform graph` says: the address of each resource, without a key, and those
    that it waits for by itself. All workers share one run of it.
    """
    messages, edges = once("terraform", _test)
    return messages, edges


def _test() -> tuple[list[dict[str, Any]] | None, Mapping[str, list[str]]]:
    with TemporaryDirectory(prefix="terraform-") as folder:
        _copy(Path(folder))
        (Path(folder) / "tests" / "runs.tftest.hcl").write_text(_runs())
        init = _terraform(folder, "init", "-input=false")
        if init.returncode:
            if OFFLINE_PROVIDERS.exists():
                pytest.fail(init.stdout + init.stderr)
            return None, {}
        messages = _messages_of_test(folder)
        return messages, _edges(_terraform(folder, "graph").stdout)


def _messages_of_test(folder: str) -> list[dict[str, Any]]:
    """
    Return what `terraform test` says until its one file's runs are over.

    What it would do then, to destroy all that the mocks made, takes as long as to make it.
    """
    messages = []
    with subprocess.Popen(
        ["terraform", "test", "-json", "-verbose", "-no-color"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as tested:
        assert tested.stdout is not None
        try:
            for line in tested.stdout:
                messages.append(json.loads(line))
                if messages[-1].get("test_file", {}).get("progress") == "teardown":
                    break
        finally:
            with suppress(ProcessLookupError):
                os.killpg(tested.pid, signal.SIGKILL)  # its providers with it
    return messages


def _edges(graph: str) -> dict[str, list[str]]:
    edges: dict[str, list[str]] = {}
    for after, before in re.findall(r'"(\S+)" -> "(\S+)"', graph):
        edges.setdefault(after, []).append(before)
    assert edges, graph
    return edges


def _copy(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for source in TERRAFORM.glob("*.tf"):
        shutil.copy(source, folder)
    shutil.copy(TERRAFORM / "tests" / "empty.zip", folder)
    shutil.copytree(TERRAFORM / "tests" / "variables", folder / "tests" / "variables")


def _terraform(folder: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["terraform", *arguments, "-no-color"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )


@cache
def environment() -> dict[str, str]:
    """Return what Terraform is run with: nothing set for another configuration."""
    ours = ("TF_VAR_", "TF_CLI_ARGS", "TF_WORKSPACE", "TF_DATA_DIR")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    # It lives for seconds: to collect garbage four times as seldom takes 50 MB and saves a fifth.
    environment["GOGC"] = "400"
    if OFFLINE_PROVIDERS.exists():
        environment["TF_CLI_CONFIG_FILE"] = once("terraform-providers", _providers)
    return environment


def _providers() -> str:
    """
    Return the configuration with which Terraform finds the provider of `terraform/` offline.

    Its schema has the kinds that are named there alone, 60 of 1,500: each command reads all of it,
    several times, and each state that `terraform test` reports has it.
    """
    text = "".join(path.read_text() for path in TERRAFORM.rglob("*.tf"))
    named = set(re.findall(r'^(?:resource|data) "(\w+)"', text, re.MULTILINE))
    folder = Path(os.environ[SHARED]) / "terraform-check"
    (folder / "schemas").mkdir(parents=True, exist_ok=True)
    for name in ("check", "provider.py", "requirements.txt"):
        shutil.copy(OFFLINE_PROVIDERS.parent / name, folder)
    for path in (OFFLINE_PROVIDERS.parent / "schemas").glob("google-[0-9]*.json.gz"):
        content = json.loads(gzip.decompress(path.read_bytes()))
        for schemas in content["provider_schemas"].values():
            for kind in set(schemas) - {"provider"}:
                schemas[kind] = {
                    key: schemas[kind][key] for key in sorted(named & set(schemas[kind]))
                }
        # Without a time in it, so that the next run finds what is made of it here.
        (folder / "schemas" / path.name).write_bytes(
            gzip.compress(json.dumps(content).encode(), mtime=0)
        )
    command = [str(folder / OFFLINE_PROVIDERS.name), "--print-cli-config"]
    asked = subprocess.run(command, capture_output=True, text=True, check=True)
    return asked.stdout.strip()


def _assignments(variables: Mapping[str, object]) -> str:
    given = {
        "project_id": PROJECT,
        "inference_image": IMAGE,
        "function_archives": {"query": "empty.zip", "fetch": "empty.zip"},
        **variables,
    }
    # JSON is HCL, but for the names of arguments.
    return "\n".join(f"{name} = {json.dumps(value)}" for name, value in given.items())


def _runs() -> str:
    """Return RUNS as one file of tests; what is refused stands last, for no run comes after it."""
    runs = (
        f'run "{name}" {{\n  command = apply\n  state_key = "{name}"\n{_MODULES.get(name, "")}'
        f"  variables {{\n{_assignments(variables)}\n}}\n}}\n"
        for name, variables in RUNS.items()
    )
    return "\n".join((_MOCKS, *runs))


def _applied(state: Mapping[str, Any]) -> Applied:
    return Applied(
        _resources(state["root_module"]),
        {name: one.get("value") for name, one in state["outputs"].items()},
    )


def _resources(module: Mapping[str, Any]) -> tuple[Resource, ...]:
    """Return what is in *module*, by addresses within it."""
    within = f"{module['address']}." if "address" in module else ""
    return tuple(
        Resource(one["address"].removeprefix(within), one["type"], one["values"])
        for one in module["resources"]
    )
