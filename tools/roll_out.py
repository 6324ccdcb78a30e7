"""Shifts traffic between the revisions of the services: a share to what is new, all, or none.

A roll-out holds what serves, makes new revisions, which get nothing so, and then gives each its
share, `new_revision_percent`. A person then promotes them, or takes them back. Which revision has
how much is kept by Cloud Run alone: Terraform ignores it.

Usage: python3 -m tools.roll_out hold|share|promote|take-back [--to=REVISION] [SERVICE ...]
Sources: https://cloud.google.com/run/docs/rollouts-rollbacks-traffic-migration, and for functions
https://cloud.google.com/functions/docs/configuring/traffic-splitting
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ACTIONS = ("hold", "share", "promote", "take-back")


class RollOutError(Exception):
    """What was asked for cannot be done; nothing of it was."""


@dataclass(frozen=True)
class Traffic:
    """
    Which revisions serve.

    Attributes:
        percents: of each revision that gets some, by its name.
        follows_latest: whether each new revision gets what the latest one has now.
        created: of each revision that can serve, the newest first, when it was made, as RFC 3339
            has it.
    """

    percents: Mapping[str, int]
    follows_latest: bool
    created: Mapping[str, str]

    @property
    def revisions(self) -> tuple[str, ...]:
        """All that can serve, the newest first."""
        return tuple(self.created)

    @property
    def is_split(self) -> bool:
        """Whether a revision is on trial."""
        return len(self.percents) > 1

    @property
    def stable(self) -> str:
        """The oldest that serves: what is on trial is newer. Raises RollOutError if none does."""
        if not self.percents:
            raise RollOutError("no revision serves yet: the first one did not start")
        return max(self.percents, key=self.revisions.index)

    def held(self) -> Mapping[str, int] | None:
        """Return what keeps new revisions from any traffic; None where that is so."""
        return self.percents if self.follows_latest else None

    def shared(self, percent: int) -> Mapping[str, int] | None:
        """Return what gives the newest revision *percent*; None where it is alone."""
        newest, stable = self.revisions[0], self.stable
        return None if newest == stable else {newest: percent, stable: 100 - percent}

    def taken_back(self) -> Mapping[str, int] | None:
        """Return what gives nothing to the newest that serves; None where no other can."""
        if self.is_split:
            return {self.stable: 100}
        older = self.revisions[self.revisions.index(self.stable) + 1 :]
        return {older[0]: 100} if older else None


@dataclass(frozen=True)
class Services:
    """The services of a deployment, as `gcloud` speaks of them."""

    names: Sequence[str]
    project: str
    region: str

    def existing(self) -> list[str]:
        """Return those of the names that Cloud Run has a service of."""
        listed = {each["metadata"]["name"] for each in self._asked("services", "list")}
        return [name for name in self.names if name in listed]

    def traffic(self, name: str) -> Traffic:
        """Ask which revisions of a service serve, and which could."""
        status = self._asked("services", "describe", name)["status"]
        # Where the first revision did not start, there is none.
        serving = [each for each in status.get("traffic", ()) if each.get("percent")]
        percents: dict[str, int] = {}
        for each in serving:
            revision = each["revisionName"]
            percents[revision] = percents.get(revision, 0) + each["percent"]
        listed = self._asked("revisions", "list", f"--service={name}")
        newest_first = sorted(listed, key=lambda each: each["metadata"]["creationTimestamp"])[::-1]
        created = {
            each["metadata"]["name"]: each["metadata"]["creationTimestamp"]
            for each in newest_first
            if _is_ready(each) or each["metadata"]["name"] in percents
        }
        follows_latest = any(each.get("latestRevision") for each in serving)
        return Traffic(percents, follows_latest, created)

    def shift(self, name: str, percents: Mapping[str, int] | None) -> None:
        """Give each revision its percents; None gives all to the latest, now and later."""
        if percents is None:
            to = "--to-latest"
        else:
            given = ",".join(f"{revision}={percent}" for revision, percent in percents.items())
            to = f"--to-revisions={given}"
        print(f"{name}: {to.removeprefix('--to-')}", flush=True)
        self._gcloud("services", "update-traffic", name, to)

    def _asked(self, *command: str) -> Any:
        return json.loads(self._gcloud(*command, "--format=json"))

    def _gcloud(self, *command: str) -> str:
        place = (f"--region={self.region}", f"--project={self.project}", "--quiet")
        ended = subprocess.run(  # noqa: S603 - of this program alone
            ["gcloud", "run", *command, *place],  # noqa: S607
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if ended.returncode:
            raise RollOutError(f"gcloud run {' '.join(command)} ended with {ended.returncode}")
        return ended.stdout


def _is_ready(revision: Mapping[str, Any]) -> bool:
    conditions = revision["status"].get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def hold(services: Services) -> None:
    """
    Keep new revisions from any traffic until they are given some.

    A service that is not there, as after an apply that ended half way, has nothing to hold.
    """
    for name in services.existing():
        traffic = services.traffic(name)
        if percents := traffic.held():
            services.shift(name, percents)


def share(services: Services, percent: int) -> None:
    """Give the newest revision of each service *percent*, and the stable one the rest."""
    if percent == 100:
        promote(services)
        return
    for name in services.names:
        if percents := services.traffic(name).shared(percent):
            services.shift(name, percents)


def promote(services: Services) -> None:
    """Give all traffic to the newest revision of each service."""
    for name in services.names:
        traffic = services.traffic(name)
        if traffic.is_split or not traffic.follows_latest:
            services.shift(name, None)


def take_back(services: Services, *, is_named: bool, to: str | None = None) -> None:
    """
    Give all traffic to the revision of before, of what is on trial or of the services named.

    Cloud Run keeps no note of what once served, so that the revision of before may be one that was
    taken back itself: which it is, and how old, is said before, and *to* names another.

    Raises:
        RollOutError: nothing is on trial, a named service has no revision of before, or *to* is
            none of the one service's that can serve.
    """
    found = {name: services.traffic(name) for name in services.names}
    if to is not None:
        _take_back_to(services, found, to)
        return
    if not is_named:
        found = {name: traffic for name, traffic in found.items() if traffic.is_split}
        if not found:
            names = " ".join(services.names)
            raise RollOutError(f"nothing is on trial: name what to take back, of {names}")
    shifts = {name: traffic.taken_back() for name, traffic in found.items()}
    if first := [name for name, percents in shifts.items() if percents is None]:
        raise RollOutError(f"there is no revision of before of {' '.join(first)}")
    for name, percents in shifts.items():
        for revision in percents or ():
            _say_target(name, found[name], revision)
        services.shift(name, percents)


def _take_back_to(services: Services, found: Mapping[str, Traffic], to: str) -> None:
    if len(found) != 1:
        raise RollOutError(f"--to is of one service: name it, of {' '.join(found)}")
    [(name, traffic)] = found.items()
    if to not in traffic.revisions:
        known = ", ".join(traffic.revisions)
        raise RollOutError(f"--to must be a revision of {name} that is ready, {known}, got {to!r}")
    _say_target(name, traffic, to)
    services.shift(name, {to: 100})


def _say_target(name: str, traffic: Traffic, revision: str) -> None:
    made = traffic.created[revision]
    seconds = time.time() - datetime.fromisoformat(made.replace("Z", "+00:00")).timestamp()
    days = int(seconds // 86400)
    print(f"{name}: back to {revision}, made {made}, {days} days ago", flush=True)


def read_outputs(path: Path | None, environment: str) -> dict[str, Any]:
    """Return what Terraform has put out of a deployment, from a file or from the state."""
    if path is None:
        command = ["terraform", f"-chdir=terraform/environments/{environment}", "output", "-json"]
        text = subprocess.run(  # noqa: S603 - of this program alone
            command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
        ).stdout
    else:
        text = path.read_text(encoding="utf-8")
    return {name: output["value"] for name, output in json.loads(text).items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one action; return 1 where it could not be done."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.roll_out", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("services", nargs="*", metavar="SERVICE", help="as Cloud Run calls it; all")
    parser.add_argument("--to", metavar="REVISION", help="of one service, that is taken back to it")
    parser.add_argument("--environment", default="prod", help="whose state is read: %(default)s")
    parser.add_argument("--outputs", type=Path, help="of terraform output -json, in its place")
    given = parser.parse_args(arguments)
    if given.to is not None and given.action != "take-back":
        parser.error(f"--to is of take-back, got {given.action}")
    try:
        outputs = read_outputs(given.outputs, given.environment)
        if "services" not in outputs:  # as of before there were shares
            print("No service is known whose traffic could be shifted.")
            return 0
        unknown = sorted(set(given.services) - set(outputs["services"]))
        if unknown:
            known = ", ".join(outputs["services"])
            raise RollOutError(f"a service must be one of {known}, got {unknown[0]!r}")
        names = given.services or outputs["services"]
        project = outputs["settings"]["GOOGLE_CLOUD_PROJECT"]
        services = Services(names, project, outputs["region"])
        if given.action == "hold":
            hold(services)
        elif given.action == "share":
            share(services, outputs["new_revision_percent"])
        elif given.action == "promote":
            promote(services)
        else:
            take_back(services, is_named=bool(given.services), to=given.to)
    except (RollOutError, OSError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
