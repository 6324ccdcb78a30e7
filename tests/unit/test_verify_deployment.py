"""`make verify-deployment` over a Google that is played by small scripts and by a server."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.machine import ROOT, Machine
from tests.stub_http import Request, StubServer, reply
from tests.terraform import applied
from tools import verify_deployment

PROJECT = "my-scratch-1"
FILTER = 'metric.type = "pubsub.googleapis.com/subscription/dead_letter_message_count"'
STEPS = [
    *("apply", "plan again", "search", "roll out", "roll back"),
    *("dead letter", "forget", "destroy"),
]
QUERY = "imagesearch-dev-query"
GCLOUD = """
case "$*" in
  "projects describe"*) cat "$state/label" 2>/dev/null || true ;;
  "pubsub subscriptions update"*) [ ! -e "$state/refused" ] || { echo denied >&2; exit 1; } ;;
  "pubsub topics publish"*) sed 's/.*--message=//' <<<"$*" | tr -d '\\n' >"$state/message" ;;
  "pubsub subscriptions pull fetch-jobs-dead-letter-kept"*)
    if [ -e "$state/message" ]; then
      printf '[{"message": {"data": "%s"}}]' "$(base64 -w0 <"$state/message")"
    else
      echo '[]'
    fi ;;
  "auth print-access-token") echo a-token ;;
  "run services list"*) echo '[{"metadata": {"name": "imagesearch-dev-query"}}]' ;;
  "run services describe"*) printf '{"status": {"traffic": [%s]}}' "$(cat "$state/traffic")" ;;
  "run revisions list"*)
    revision='{"metadata": {"name": "%s", "creationTimestamp": "%s"}, "status": {"conditions":
      [{"type": "Ready", "status": "True"}]}}'
    list= hour=10
    while read -r name; do
      list+=${list:+, }$(printf "$revision" "$name" "2026-11-29T$hour:00:00Z")
      hour=$((hour + 1))
    done <"$state/revisions"
    echo "[$list]" ;;
  "run services update-traffic"*--to-latest*)
    printf '{"revisionName": "%s", "percent": 100, "latestRevision": true}' \
      "$(tail -n 1 "$state/revisions")" >"$state/traffic" ;;
  "run services update-traffic"*)
    [ ! -e "$state/stuck" ] || exit 0
    given=$(sed 's/.*--to-revisions=\\([^ ]*\\).*/\\1/' <<<"$*")
    sed 's/\\([^=,]*\\)=\\([0-9]*\\)/{"revisionName": "\\1", "percent": \\2}/g' <<<"$given" \
      >"$state/traffic" ;;
  "storage cp --no-clobber build/query.zip gs://my-scratch-1-imagesearch-dev-sources/query-"*) ;;
  "storage rm"* | "storage ls"*) ;;
  *) echo "unexpected: $*" >&2; exit 64 ;;
esac
"""
TERRAFORM = """
case "$*" in
  *" output -json") cat "$state/outputs" ;;
  *" show -json") cat "$state/resources" ;;
  *" plan "*)
    if [ -e "$state/drift" ]; then
      echo "  # google_storage_bucket.images will be changed"
      exit 2
    fi ;;
  *" apply "*)
    revision=imagesearch-dev-query-$(sha256sum build/query.zip | cut -c 1-8)
    grep -qx "$revision" "$state/revisions" 2>/dev/null || echo "$revision" >>"$state/revisions" ;;
  *" destroy "*) ;;
  *" state list") cat "$state/left" 2>/dev/null || true ;;
  *) echo "unexpected: $*" >&2; exit 64 ;;
esac
"""

FORGET = '[ "$EDITION $TOPIC_PREFIX" = "cloud imagesearch-dev-" ] && echo "$2" >"$state/forgotten"'


def resources() -> dict[str, Any]:
    token = {"service_account_email": "push@x", "audience": "https://fetch.example"}
    push = {"push_endpoint": "https://fetch.example/", "oidc_token": [token]}
    values = {
        "google_cloudfunctions2_function.query": {"name": QUERY},
        'google_pubsub_subscription.work["fetch-jobs"]': {
            "name": "fetch-jobs",
            "topic": f"projects/{PROJECT}/topics/fetch-jobs",
            "push_config": [push],
            "dead_letter_policy": [{"dead_letter_topic": "fetch-jobs-dead-letter"}],
        },
        'google_pubsub_subscription.dead_letter_kept["fetch-jobs"]': {
            "name": "fetch-jobs-dead-letter-kept"
        },
        'google_monitoring_alert_policy.metric["dead-letters"]': {
            "display_name": "messages were given up",
            "conditions": [{"condition_threshold": [{"filter": FILTER}]}],
        },
    }
    held = [
        {"address": f"module.imagesearch.{address}", "values": each}
        for address, each in values.items()
    ]
    return {"values": {"root_module": {"child_modules": [{"resources": held}]}}}


@dataclass
class Cloud:
    """The API, the bucket and Cloud Monitoring at one address; what they answer is set by tests."""

    state: Path
    server: StubServer | None = None
    searches: int = 0
    counted: str = "1"
    asked_metrics: list[dict[str, str]] = field(default_factory=list)
    keeps_forgotten: bool = False

    @property
    def origin(self) -> str:
        assert self.server is not None
        return self.server.origin

    def answer(self, request: Request) -> bytes:
        path = urlsplit(request.target).path
        if path == "/search":
            return self._search()
        if path.startswith("/images/"):
            is_gone = path == f"/images/{self._forgotten()}.jpg"
            return reply(404) if is_gone else reply(200, b"JPEG", Content_Type="image/jpeg")
        assert path == f"/v3/projects/{PROJECT}/timeSeries"
        assert request.headers["authorization"] == "Bearer a-token"
        given = parse_qs(urlsplit(request.target).query)
        self.asked_metrics.append({name: each[0] for name, each in given.items()})
        series = {"points": [{"value": {"int64Value": self.counted}}]}
        return reply(200, json.dumps({"timeSeries": [series]}))

    def _search(self) -> bytes:
        self.searches += 1
        if self.searches == 1:
            return reply(202, json.dumps({"complete": False, "results": []}))
        ids = ["b", "c"] if self._forgotten() and not self.keeps_forgotten else ["a", "b", "c"]
        results = [{"image_id": each, "url": f"{self.origin}/images/{each}.jpg"} for each in ids]
        return reply(
            200, json.dumps({"complete": True, "results": results, "pool": {"embedded": 3}})
        )

    def _forgotten(self) -> str:
        file = self.state / "forgotten"
        return file.read_text().strip() if file.exists() else ""


def main_of(machine: Machine) -> Path:
    return machine.project / "terraform" / "environments" / "dev" / "main.tf"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.add_program("gcloud", GCLOUD)
    machine.add_program("terraform", TERRAFORM)
    machine.add_program("git", "echo v1-3-gabc")
    machine.add_program("imagesearch", FORGET)
    machine.add_program("first", '[ ! -e "$state/no-quota" ] || { echo no GPU quota >&2; exit 1; }')
    first = machine.project / "tools" / "first_deployment.sh"
    first.parent.mkdir()
    first.symlink_to(tmp_path / "programs" / "first")
    (machine.state / "label").write_text("true\n")
    main_of(machine).parent.mkdir(parents=True)
    shutil.copyfile(ROOT / main_of(machine).relative_to(machine.project), main_of(machine))
    (machine.project / "build").mkdir()
    with zipfile.ZipFile(machine.project / "build" / "query.zip", "w") as packed:
        packed.writestr("main.py", "query = 1")
    digest = hashlib.sha256((machine.project / "build" / "query.zip").read_bytes()).hexdigest()
    first_revision = f"{QUERY}-{digest[:8]}"
    (machine.state / "revisions").write_text(f"{first_revision}\n")
    serving = {"revisionName": first_revision, "percent": 100, "latestRevision": True}
    (machine.state / "traffic").write_text(json.dumps(serving))
    return machine


@pytest.fixture
def cloud(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    cloud = Cloud(machine.state)
    programs = machine.project.parent / "programs"
    with StubServer(cloud.answer) as cloud.server:
        outputs = {
            "api_url": cloud.origin,
            "region": "europe-west4",
            "inference_profile": "cpu",
            "inference_image": "image@sha256:ab",
            "app_image": "",
            "sources_bucket": f"{PROJECT}-imagesearch-dev-sources",
            "services": [QUERY],
            "settings": {"EDITION": "cloud", "TOPIC_PREFIX": "imagesearch-dev-"},
        }
        kept = {name: {"value": value} for name, value in outputs.items()}
        (machine.state / "outputs").write_text(json.dumps(kept))
        (machine.state / "resources").write_text(json.dumps(resources()))
        monkeypatch.setenv("PATH", str(programs), prepend=":")
        for name, value in {
            "ROOT": machine.project,
            "IMAGESEARCH": programs / "imagesearch",
            "MONITORING": f"{cloud.origin}/v3",
            "POLL_SECONDS": 0.01,
            "RIGHTS_SECONDS": 0.01,
            "DEAD_LETTER_SECONDS": 0.3,
            "FORGET_SECONDS": 0.3,
            "SEARCH_SECONDS": 5,
        }.items():
            monkeypatch.setattr(verify_deployment, name, value)
        monkeypatch.setenv("PIXABAY_API_KEY", "12345-secret")
        yield cloud


def verify(machine: Machine, *arguments: str) -> tuple[int, dict[str, list[str]]]:
    """Run it; return its status, and by step the cells of its row in the report."""
    status = verify_deployment.main(["--project", PROJECT, *arguments])
    page = (machine.project / "build" / "verify-deployment.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith("| ")][2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return status, {row[0]: row[1:] for row in rows}


def test_every_step_passes_and_nothing_is_left(machine: Machine, cloud: Cloud) -> None:
    status, rows = verify(machine)
    assert (status, list(rows)) == (0, STEPS), rows
    assert {row[1] for row in rows.values()} == {"passed"}
    assert all(len(row[0]) > 20 for row in rows.values())  # what it proves
    calls = machine.calls
    assert calls[1] == f"first --project={PROJECT} --environment=dev --profile=cpu --yes"
    assert [call.split()[2] for call in calls if "-var=region=europe-west4" in call] == [
        *("plan", "apply", "apply", "apply", "destroy")
    ]
    assert calls[-3:-1] == [
        f"gcloud storage rm --recursive gs://{PROJECT}-imagesearch-dev-state",
        f"gcloud storage ls --project={PROJECT}",
    ]
    assert cloud.asked_metrics[0]["filter"] == FILTER
    assert "3 hits of a pool of 3" in rows["search"][3]
    assert rows["forget"][3] == "a is in no answer, and its picture is gone"


def test_the_message_is_given_up_by_pub_sub_and_not_by_us(machine: Machine, cloud: Cloud) -> None:
    verify(machine)
    [update] = [call for call in machine.calls if "subscriptions update" in call]
    assert "--push-endpoint=https://fetch.example/-that-there-is-not" in update
    assert "--max-delivery-attempts=5 --min-retry-delay=1s" in update
    assert "--push-auth-token-audience=https://fetch.example" in update
    at = machine.calls.index(update)
    assert machine.calls[at + 1].startswith("gcloud pubsub topics publish fetch-jobs ")
    # What was changed is set back by Terraform before anything else is looked at.
    later = [call.split()[2] for call in machine.calls[at:] if call.startswith("terraform")]
    assert later[0] == "apply"


def test_what_it_reads_of_a_state_is_what_terraform_makes() -> None:
    made = applied("full")
    for address, expected in {
        each["address"].removeprefix("module.imagesearch."): each["values"]
        for each in resources()["values"]["root_module"]["child_modules"][0]["resources"]
    }.items():
        assert shape(expected) <= shape(made[address]), address
    assert made['google_monitoring_alert_policy.metric["dead-letters"]']["conditions"][0][
        "condition_threshold"
    ][0]["filter"].count("dead_letter_message_count")
    assert {
        *("api_url", "region", "inference_profile", "inference_image", "app_image"),
        *("settings", "services", "sources_bucket"),
    } <= made.outputs.keys()


def shape(value: Any, path: str = "") -> set[str]:
    """Return where *value* has what: the paths of its fields, the first of a list for all."""
    if isinstance(value, dict):
        return {each for name, inner in value.items() for each in shape(inner, f"{path}.{name}")}
    if isinstance(value, list):
        return shape(value[0], f"{path}[]") if value else set()
    return {path}


def test_a_tenth_of_the_traffic_is_tried_and_taken_back_and_what_was_there_is_there_again(
    machine: Machine, cloud: Cloud
) -> None:
    archive = machine.project / "build" / "query.zip"
    before = archive.read_bytes()
    _, rows = verify(machine)
    text = "\n".join(machine.calls)
    for revision, name in revision_names(machine).items():
        text = text.replace(revision, name)
    shifts = re.findall(r"update-traffic .* --to-(\S+)", text)
    assert shifts == ["revisions=old=100", "revisions=new=10,old=90", "revisions=old=100", "latest"]
    assert archive.read_bytes() == before
    assert "20 searches answered" in rows["roll back"][3]


def revision_names(machine: Machine) -> dict[str, str]:
    revisions = (machine.state / "revisions").read_text().split()
    return dict(zip(revisions, ("old", "new"), strict=True))


def test_traffic_that_does_not_shift_fails_and_what_was_there_is_deployed(
    machine: Machine, cloud: Cloud
) -> None:
    archive = machine.project / "build" / "query.zip"
    before = archive.read_bytes()
    (machine.state / "stuck").touch()
    status, rows = verify(machine)
    assert (status, rows["roll out"][1], rows["roll back"][1]) == (1, "failed", "failed")
    assert rows["destroy"][1] == "passed"
    assert "should have 90 %" in rows["roll out"][3]
    assert archive.read_bytes() == before


@pytest.mark.parametrize("label", ["", "false"])
def test_a_project_that_is_not_marked_is_not_touched(
    machine: Machine, cloud: Cloud, capsys: pytest.CaptureFixture[str], label: str
) -> None:
    (machine.state / "label").write_text(label)
    assert verify_deployment.main(["--project", PROJECT]) == 2
    assert "must have the label may-be-destroyed=true" in capsys.readouterr().err
    assert len(machine.calls) == 1
    assert not (machine.project / "build" / "verify-deployment.md").exists()


@pytest.mark.parametrize(
    ("setting", "key", "says"),
    [
        ("", "", "PIXABAY_API_KEY must have the key of the Pixabay API, which is a source"),
        ('image_sources = ["pixabay", "commons"]', "", "PIXABAY_API_KEY must have the key"),
        (
            'door = "iap" # who signs in',
            "k",
            "door must be one of everyone, everyone_unchecked, got",
        ),
        ('api_key = { secret = "s", version = "1" }', "k", "api_key must be null, got { secret"),
        ('domain = "search.example.com"', "k", 'domain must be null, got "search.example.com"'),
    ],
)
def test_what_cannot_be_searched_is_told_before_anything_is_made(
    machine: Machine,
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    setting: str,
    key: str,
    says: str,
) -> None:
    monkeypatch.setenv("PIXABAY_API_KEY", key)
    text = main_of(machine).read_text()
    main_of(machine).write_text(text.replace("  name  ", f"  {setting}\n  name  "))
    assert verify_deployment.main(["--project", PROJECT]) == 2
    assert says in capsys.readouterr().err
    assert machine.calls == []


def test_without_pixabay_no_key_is_asked_for(
    machine: Machine, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIXABAY_API_KEY")
    text = main_of(machine).read_text()
    setting = 'image_sources = ["commons"]\n  # door = "iap"\n  api_key = null'
    main_of(machine).write_text(text.replace("  name  ", f"  {setting}\n  name  "))
    assert verify(machine)[0] == 0


@pytest.mark.parametrize(
    ("fault", "step", "says"),
    [
        ("drift", "plan again", "would change: # google_storage_bucket.images will be changed"),
        ("refused", "dead letter", "gcloud ended with 1: denied"),
        ("left", "destroy", "the state still has google_compute_subnetwork.x"),
    ],
)
def test_a_step_that_fails_says_why_and_the_others_go_on(
    machine: Machine, cloud: Cloud, fault: str, step: str, says: str
) -> None:
    (machine.state / fault).write_text("google_compute_subnetwork.x\n")
    status, rows = verify(machine)
    assert status == 1
    assert {name for name, row in rows.items() if row[1] != "passed"} == {step}
    assert says in rows[step][3]


def test_an_alert_whose_filter_sees_nothing_fails(machine: Machine, cloud: Cloud) -> None:
    cloud.counted = "0"
    status, rows = verify(machine)
    assert (status, rows["dead letter"][1], rows["destroy"][1]) == (1, "failed", "passed")
    assert f"a point of the alert's filter, {FILTER} did not come" in rows["dead letter"][3]


def test_a_picture_that_is_still_found_fails(machine: Machine, cloud: Cloud) -> None:
    cloud.keeps_forgotten = True
    status, rows = verify(machine)
    assert (status, rows["forget"][1], rows["destroy"][1]) == (1, "failed", "passed")


def test_what_was_not_deployed_is_not_looked_at(machine: Machine, cloud: Cloud) -> None:
    (machine.state / "no-quota").touch()
    status, rows = verify(machine)
    assert (status, rows["apply"][3]) == (
        1,
        "StepFailed: tools/first_deployment.sh ended with 1: no GPU quota",
    )
    assert {row[1] for name, row in rows.items() if name != "apply"} == {"left out"}
    assert not [call for call in machine.calls if call.startswith("terraform")]


@pytest.mark.parametrize("image", ["", "app@sha256:cd"])
def test_the_web_app_is_planned_and_destroyed_with_its_image(
    machine: Machine, cloud: Cloud, image: str
) -> None:
    """Terraform refuses app_enabled without it, and a destroy with it."""
    outputs = machine.state / "outputs"
    outputs.write_text(
        json.dumps({**json.loads(outputs.read_text()), "app_image": {"value": image}})
    )
    status, rows = verify(machine)
    assert (status, rows["destroy"][1]) == (0, "passed")
    calls = [call for call in machine.calls if "-var=region=europe-west4" in call]
    assert calls[-1].split()[2] == "destroy"
    given = {tuple(re.findall(r"-var=app_image=(\S*)", call)) for call in calls}
    assert given == {(image,) if image else ()}


def test_what_is_to_be_kept_is_kept(machine: Machine, cloud: Cloud) -> None:
    status, rows = verify(machine, "--keep", "--region", "us-east4", "--profile", "split")
    assert (status, rows["destroy"][1:]) == (0, ["left out", "0 s", "--keep"])
    assert machine.calls[1] == (
        f"first --project={PROJECT} --environment=dev --profile=split --region=us-east4 --yes"
    )
    assert not [call for call in machine.calls if " destroy " in call]
