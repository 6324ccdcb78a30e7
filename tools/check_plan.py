"""Tells whether a Terraform plan only rolls out code, which is all that the deployer may do.

The deployer's rights are in `terraform/deployer.tf`. They would let it change any setting of a
service that runs code, and would stop a plan that needs more half way through; here both are
refused before anything changes. What changes in the state alone needs no right and is let pass:
outputs, and what has drifted, since whatever Terraform would do about that is a change of its own.

With `--data` it tells whether a plan keeps all that is stored, as `tools/first_deployment.sh`
asks before it applies what nobody looks at.

Usage: python -m tools.check_plan [--data] build/plan.json (of `terraform show -json`)
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

# What runs code, and the attributes that say which: the two things that a roll-out updates.
ROLLED_OUT = {
    "google_cloud_run_v2_service": {"template.containers.image"},
    "google_cloudfunctions2_function": {
        "build_config.source.storage_source.object",
        "build_config.source.storage_source.generation",
    },
}
# What Google writes by itself on every update, and no configuration can set. Labels are not among
# it: those that the provider computes are ours.
WRITTEN_BY_GOOGLE = {
    "google_cloud_run_v2_service": set(
        "conditions etag generation last_modifier latest_created_revision latest_ready_revision"
        " observed_generation reconciling terminal_condition traffic_statuses update_time".split()
    ),
    "google_cloudfunctions2_function": {"build_config.build", "state", "update_time"},
}
# What keeps something that is not made again by the apply that would delete it, or replace it.
STORES = {
    "google_artifact_registry_repository": "its images, which roll-backs need",
    "google_compute_global_address": "the address that the domain's record names",
    "google_firestore_database": "the catalog",
    "google_firestore_index": "what searches by it need, until it is built again",
    "google_pubsub_subscription": "messages on their way",
    "google_pubsub_topic": "messages on their way",
    "google_redis_instance": "the cache, and the counts of a minute's requests",
    "google_secret_manager_secret": "its versions",
    "google_secret_manager_secret_version": "the start of each revision that names it",
    "google_sql_database": "the library",
    "google_sql_database_instance": "the library",
    "google_storage_bucket": "its objects",
}
_HARMLESS = (["no-op"], ["read"])
_SHOWN_CHARACTERS = 160


@dataclass(frozen=True)
class _Secret:
    """A value that is compared and never printed."""

    value: object

    def __str__(self) -> str:
        return "(sensitive)"


@dataclass(frozen=True)
class _NoValue:
    """What stands where there is no value to compare; it equals none."""

    why: str

    def __str__(self) -> str:
        return f"({self.why})"


_UNKNOWN = _NoValue("known after apply")
_ABSENT = _NoValue("absent")


@dataclass(frozen=True)
class _Difference:
    attribute: str  # without the subscripts, which `label` has
    label: str
    before: object
    after: object

    def __str__(self) -> str:
        if isinstance(self.before, _Secret) or isinstance(self.after, _Secret):
            return f"{self.label}: (sensitive)"  # where one side is no longer secret, too
        return f"{self.label}: {_shown(self.before)} → {_shown(self.after)}"


def structural_changes(plan: Mapping[str, Any]) -> list[str]:
    """Return what *plan* changes besides the code that runs, as "ADDRESS: WHAT" each."""
    return [
        f"{resource['address']}: {what}"
        for resource in plan.get("resource_changes", ())
        for what in _besides_code(resource["type"], resource["change"])
    ]


def ended_data(plan: Mapping[str, Any]) -> list[str]:
    """
    Return what stored things *plan* deletes or replaces, as "ADDRESS: WHAT GOES" each.

    What the state abandons stays at Google, such as a secret's old version while the next is made.
    """
    return [
        f"{resource['address']}: {' and '.join(actions)}, and with it {STORES[resource['type']]}"
        for resource in plan.get("resource_changes", ())
        if resource["type"] in STORES
        and "delete" in (actions := resource["change"]["actions"])
        and (resource["change"].get("before") or {}).get("deletion_policy") != "ABANDON"
    ]


def _besides_code(kind: str, change: Mapping[str, Any]) -> Iterator[str]:
    if change["actions"] in _HARMLESS:
        return
    if kind not in ROLLED_OUT or change["actions"] != ["update"]:
        yield " and ".join(change["actions"])
        return
    allowed = ROLLED_OUT[kind] | WRITTEN_BY_GOOGLE[kind]
    for difference in _differences(_before(change), _after(change)):
        if difference.attribute not in allowed:
            yield str(difference)


def _before(change: Mapping[str, Any]) -> object:
    return _marked(change["before"], change.get("before_sensitive"), _Secret)


def _after(change: Mapping[str, Any]) -> object:
    known = _marked(change["after"], change.get("after_unknown"), lambda _: _UNKNOWN)
    return _marked(known, change.get("after_sensitive"), _Secret)


def _marked(value: Any, where: Any, mark: Callable[[object], object]) -> Any:
    """Return *value* with *mark* made of each part that is true in *where*, of the same shape."""
    if where is True:
        return mark(value)
    if isinstance(where, dict) and isinstance(value, dict | None):
        held = value or {}
        return {
            **held,
            **{
                name: _marked(held.get(name), inner_mark, mark)
                for name, inner_mark in where.items()
            },
        }
    if isinstance(where, list) and isinstance(value, list | None):
        return [_marked(part, place, mark) for part, place in zip_longest(value or [], where)]
    return value


def _differences(
    before: object, after: object, attribute: str = "", label: str = ""
) -> Iterator[_Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        dot = "." if attribute else ""
        for name in sorted({*before, *after}):
            inner = f"{attribute}{dot}{name}", f"{label}{dot}{name}"
            yield from _differences(before.get(name), after.get(name), *inner)
    elif isinstance(before, list) and isinstance(after, list):
        for key, old, new in _pairs(before, after):
            yield from _differences(old, new, attribute, f"{label}[{key}]")
    elif before != after and not (_is_nothing(before) and _is_nothing(after)):
        yield _Difference(attribute, label, before, after)


def _pairs(before: list[Any], after: list[Any]) -> Iterator[tuple[object, object, object]]:
    """Yield each element of both with its key: the name that a block has, or the place."""
    for name in ("key", "name"):
        named, then_named = _by_name(before, name), _by_name(after, name)
        if named is not None and then_named is not None:
            for key in sorted({*named, *then_named}):
                yield json.dumps(key), named.get(key, _ABSENT), then_named.get(key, _ABSENT)
            return
    for index, (before_part, after_part) in enumerate(
        zip_longest(before, after, fillvalue=_ABSENT)
    ):
        yield index, before_part, after_part


def _by_name(blocks: list[Any], name: str) -> dict[str, object] | None:
    """Return *blocks* by the text that each has as *name*; None where one has none of its own."""
    changes: dict[str, object] = {
        block[name]: block
        for block in blocks
        if isinstance(block, dict) and isinstance(block.get(name), str)
    }
    return changes if len(changes) == len(blocks) else None


def _is_nothing(value: object) -> bool:
    """Tell whether a block or a map is left out, which Terraform writes in three ways."""
    return value is None or value == [] or value == {}


def _shown(value: object) -> str:
    if isinstance(value, _NoValue):
        return str(value)
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def main() -> None:
    """Print the structural changes, or the data that ends; the exit status is 1 for any."""
    parser = argparse.ArgumentParser(prog="python -m tools.check_plan")
    parser.add_argument("plan", type=Path, help="output of `terraform show -json PLAN`")
    parser.add_argument("--data", action="store_true", help="ask only whether what is stored stays")
    given = parser.parse_args()
    plan = json.loads(given.plan.read_bytes())
    if given.data:
        if ended := ended_data(plan):
            print("This ends what is stored:", *ended, sep="\n  ")
            sys.exit(1)
        return
    if changes := structural_changes(plan):
        print("This changes more than the code that runs:", *changes, sep="\n  ")
        sys.exit("The deployer may not do that. A person may: tools/first_deployment.sh")
    print("This rolls out code and changes nothing else.")


if __name__ == "__main__":
    main()
