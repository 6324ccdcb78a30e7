"""tools/roll_out.py over a Cloud Run that a small script plays: it keeps revisions and traffic."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.machine import Machine
from tools.roll_out import RollOutError, Traffic

QUERY, SCORER = "imagesearch-query", "imagesearch-scorer"
# The forms that `gcloud run services describe` and `gcloud run revisions list` have, of which these
# fields are documented: https://cloud.google.com/run/docs/reference/rest/v1/namespaces.services
GCLOUD = """
import json, pathlib, sys
state = pathlib.Path(sys.argv[1])
arguments = sys.argv[2:]
services = json.loads(state.read_text())
assert "--region=europe-west4" in arguments and "--project=my-project" in arguments, arguments
kind, action = arguments[1:3]
if kind == "revisions":
    name = arguments[3].removeprefix("--service=")
    print(json.dumps([
        {
            "metadata": {"name": each, "creationTimestamp": f"2026-11-{10 + at}T00:00:00Z"},
            "status": {"conditions": [
                {"type": "Active", "status": "False"},
                {"type": "Ready", "status": "False" if each.endswith("broken") else "True"},
            ]},
        }
        for at, each in enumerate(services[name]["revisions"])
    ]))
elif action == "list":
    print(json.dumps([{"metadata": {"name": each}} for each in services]))
elif action == "describe":
    service = services[arguments[3]]
    if not service["traffic"]:
        print(json.dumps({"status": {"conditions": []}}))
        sys.exit()
    latest = service["revisions"][-1]
    print(json.dumps({"status": {"traffic": [
        {"percent": each["percent"], "revisionName": each.get("revision", latest)}
        | ({} if "revision" in each else {"latestRevision": True})
        for each in service["traffic"]
    ] + [{"revisionName": latest, "tag": "seen"}]}}))
else:
    assert action == "update-traffic", arguments
    to = next(each for each in arguments if each.startswith("--to-"))
    services[arguments[3]]["traffic"] = [{"percent": 100}] if to == "--to-latest" else [
        {"revision": pair.split("=")[0], "percent": int(pair.split("=")[1])}
        for pair in to.removeprefix("--to-revisions=").split(",")
    ]
    state.write_text(json.dumps(services))
"""


class CloudRun:
    """Two services, each with one revision that follows the latest."""

    def __init__(self, machine: Machine, percent: int) -> None:
        self.machine = machine
        self._file = machine.state / "services.json"
        start = {
            name: {"revisions": [f"{name}-1"], "traffic": [{"percent": 100}]}
            for name in (QUERY, SCORER)
        }
        self._file.write_text(json.dumps(start))
        (machine.state / "gcloud.py").write_text(GCLOUD)
        program = f'exec python3 -I "$state/gcloud.py" "{self._file}" "$@"'
        machine.add_program("gcloud", program)
        machine.add_program("terraform", 'cat "$state/outputs"')
        self.set_percent(percent)

    def set_percent(self, percent: int) -> None:
        outputs = {
            "services": [QUERY, SCORER],
            "new_revision_percent": percent,
            "region": "europe-west4",
            "settings": {"GOOGLE_CLOUD_PROJECT": "my-project"},
        }
        values = {name: {"value": value} for name, value in outputs.items()}
        (self.machine.state / "outputs").write_text(json.dumps(values))

    def deploy(self, name: str, revision: str) -> None:
        """Add a revision, as Terraform does: whose share is by name gets none of it."""
        services = json.loads(self._file.read_text())
        services[name]["revisions"].append(f"{name}-{revision}")
        self._file.write_text(json.dumps(services))

    def leave_unstarted(self, name: str) -> None:
        """Have no other service than *name*, and of that one nothing that serves."""
        service = json.loads(self._file.read_text())[name]
        self._file.write_text(json.dumps({name: {**service, "traffic": []}}))

    def serving(self, name: str) -> dict[str, int]:
        """Return the percents of each revision, by the end of its name; `*` is what follows."""
        service = json.loads(self._file.read_text())[name]
        latest = service["revisions"][-1] + "*"
        return {
            each.get("revision", latest).removeprefix(f"{name}-"): each["percent"]
            for each in service["traffic"]
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.machine.run(["python3", "-m", "tools.roll_out", *arguments])

    def done(self, *arguments: str) -> None:
        ended = self.run(*arguments)
        assert ended.returncode == 0, ended.stderr

    def roll_out(self, revision: str, *names: str) -> None:
        self.done("hold")
        for name in names:
            self.deploy(name, revision)
            assert f"{revision}*" not in self.serving(name), "it serves before it was given any"
        self.done("share")


@pytest.fixture
def cloud_run(tmp_path: Path) -> CloudRun:
    return CloudRun(Machine(tmp_path), percent=10)


@pytest.mark.slow
def test_what_is_new_gets_its_share_and_all_of_it_when_it_is_promoted(
    cloud_run: CloudRun,
) -> None:
    cloud_run.roll_out("2", QUERY)
    assert cloud_run.serving(QUERY) == {"2": 10, "1": 90}
    assert cloud_run.serving(SCORER) == {"1": 100}, "it has nothing new"
    cloud_run.done("promote")
    assert cloud_run.serving(QUERY) == {"2*": 100}
    cloud_run.roll_out("3", QUERY, SCORER)
    assert cloud_run.serving(QUERY) == {"3": 10, "2": 90}
    assert cloud_run.serving(SCORER) == {"3": 10, "1": 90}


@pytest.mark.slow
def test_what_is_on_trial_is_taken_back_and_the_next_one_is_tried(cloud_run: CloudRun) -> None:
    cloud_run.roll_out("2", QUERY, SCORER)
    cloud_run.done("take-back")
    assert cloud_run.serving(QUERY) == cloud_run.serving(SCORER) == {"1": 100}
    cloud_run.roll_out("3", QUERY)
    assert cloud_run.serving(QUERY) == {"3": 10, "1": 90}


@pytest.mark.slow
def test_a_roll_out_while_one_is_on_trial_takes_its_place(cloud_run: CloudRun) -> None:
    cloud_run.roll_out("2", QUERY)
    cloud_run.roll_out("3", QUERY)
    assert cloud_run.serving(QUERY) == {"3": 10, "1": 90}


@pytest.mark.slow
def test_with_all_of_it_a_revision_serves_at_the_end_of_the_roll_out(cloud_run: CloudRun) -> None:
    cloud_run.set_percent(100)
    cloud_run.roll_out("2", QUERY)
    assert cloud_run.serving(QUERY) == {"2*": 100}
    assert cloud_run.serving(SCORER) == {"1*": 100}


@pytest.mark.slow
def test_what_was_promoted_is_rolled_back_by_its_name_as_often_as_there_is_one_before(
    cloud_run: CloudRun,
) -> None:
    cloud_run.set_percent(100)
    for revision in ("2", "3-broken", "4"):
        cloud_run.roll_out(revision, QUERY)
    cloud_run.done("take-back", QUERY)
    assert cloud_run.serving(QUERY) == {"2": 100}, "what never started is none to go back to"
    cloud_run.done("take-back", QUERY)
    assert cloud_run.serving(QUERY) == {"1": 100}
    ended = cloud_run.run("take-back", QUERY)
    assert ended.returncode == 1
    assert f"there is no revision of before of {QUERY}" in ended.stderr
    cloud_run.roll_out("5", QUERY)
    assert cloud_run.serving(QUERY) == {"5*": 100}, "a roll-out ends a roll-back"


@pytest.mark.slow
def test_past_a_revision_that_was_taken_back_one_goes_by_naming_another(
    cloud_run: CloudRun,
) -> None:
    cloud_run.roll_out("2", QUERY)
    cloud_run.done("take-back")
    cloud_run.roll_out("3", QUERY)
    cloud_run.done("promote")
    ended = cloud_run.run("take-back", QUERY, f"--to={QUERY}-1")
    assert ended.returncode == 0, ended.stderr
    assert cloud_run.serving(QUERY) == {"1": 100}
    target = f"{QUERY}: back to {QUERY}-1, made 2026-11-10T00:00:00Z, "
    assert ended.stdout.startswith(target), "before it is done, so that nobody is misled"
    cloud_run.done("promote")
    ended = cloud_run.run("take-back", QUERY)
    assert ended.stdout.startswith(f"{QUERY}: back to {QUERY}-2, made 2026-11-11T00:00:00Z, ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["take-back", f"--to={QUERY}-1"], f"--to is of one service: name it, of {QUERY} {SCORER}"),
        (
            ["take-back", QUERY, "--to=r1"],
            f"--to must be a revision of {QUERY} that is ready, {QUERY}-2, {QUERY}-1, got 'r1'",
        ),
        (["promote", f"--to={QUERY}-1"], "--to is of take-back, got promote"),
        (["take-back"], f"nothing is on trial: name what to take back, of {QUERY} {SCORER}"),
        (["take-back", "query"], f"must be one of {QUERY}, {SCORER}, got 'query'"),
        (["take-back", QUERY, SCORER], f"no revision of before of {SCORER}"),
    ],
)
def test_what_cannot_be_taken_back_is_named_and_nothing_is_shifted(
    cloud_run: CloudRun, arguments: list[str], says: str
) -> None:
    cloud_run.deploy(QUERY, "2")
    ended = cloud_run.run(*arguments)
    assert ended.returncode == (2 if "promote" in arguments else 1)
    assert says in ended.stderr
    assert not any("update-traffic" in call for call in cloud_run.machine.calls)


@pytest.mark.slow
def test_a_refusal_of_google_is_an_error(cloud_run: CloudRun) -> None:
    cloud_run.machine.add_program("gcloud", 'echo "ERROR: denied" >&2; exit 1')
    ended = cloud_run.run("hold")
    assert ended.returncode == 1
    assert "ERROR: denied" in ended.stderr
    assert "gcloud run services list --format=json ended with 1" in ended.stderr


@pytest.mark.slow
def test_after_an_apply_that_ended_half_way_what_there_is_is_held(cloud_run: CloudRun) -> None:
    """One service is not there, as after somebody deleted it, and one never started."""
    cloud_run.leave_unstarted(QUERY)
    cloud_run.done("hold")
    assert not any("update-traffic" in call for call in cloud_run.machine.calls)


@pytest.mark.slow
def test_of_a_deployment_of_before_nothing_is_shifted(cloud_run: CloudRun) -> None:
    (cloud_run.machine.state / "outputs").write_text("{}")
    cloud_run.done("hold")
    assert not any(call.startswith("gcloud") for call in cloud_run.machine.calls)


# What is given to which revision


def traffic(percents: Mapping[str, int], *newest_first: str, follows: bool = False) -> Traffic:
    return Traffic(percents, follows, dict.fromkeys(newest_first, "2026-11-01T00:00:00Z"))


def test_traffic_that_is_held_stays_as_it_is() -> None:
    assert traffic({"a": 100}, "a", follows=True).held() == {"a": 100}
    assert traffic({"a": 100}, "a").held() is None
    assert traffic({"b": 10, "a": 90}, "b", "a", follows=True).held() == {"b": 10, "a": 90}


def test_the_stable_revision_is_the_oldest_that_serves_whatever_its_share() -> None:
    on_trial = traffic({"b": 60, "a": 40}, "c", "b", "a", "before")
    assert on_trial.stable == "a"
    assert on_trial.shared(60) == {"c": 60, "a": 40}
    assert on_trial.taken_back() == {"a": 100}


def test_a_service_whose_first_revision_did_not_start_is_said_to_serve_nothing() -> None:
    with pytest.raises(RollOutError, match="no revision serves yet"):
        traffic({}, "a").shared(10)
    assert traffic({}, "a").held() is None, "so that what mends it is rolled out"


def test_a_service_without_anything_new_shares_nothing() -> None:
    assert traffic({"a": 100}, "a", "before").shared(10) is None
