"""
Proves a deployment on a real project of Google Cloud, and takes it down again.

    make verify-deployment PROJECT=my-scratch-project

The project is one that may be emptied, and says so: it has the label `may-be-destroyed=true`.
What is applied is this checkout's environment `dev`, whose data may go. Each step says what it
proves; after a step that failed the others are tried all the same, and what was made is destroyed.
Where the first deployment fails twice nothing is, as nothing says what is there.
The report is printed, and is in build/verify-deployment.md.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import requests

from tools import roll_out

ROOT = Path(__file__).resolve().parents[1]
IMAGESEARCH = Path(sys.executable).with_name("imagesearch")
MONITORING = "https://monitoring.googleapis.com/v3"
LABEL: Final = "may-be-destroyed"
MODULE: Final = "module.imagesearch."
REPORT: Final = Path("build") / "verify-deployment.md"
ARCHIVE: Final = Path("build") / "query.zip"
POLL_SECONDS = 10.0
SEARCH_SECONDS: Final = 900  # a GPU that wakes, and 200 pictures that are fetched and embedded
DEAD_LETTER_SECONDS: Final = 900  # Pub/Sub's metrics come some minutes late
FORGET_SECONDS: Final = 300
RIGHTS_SECONDS = 300.0
HTTP_SECONDS: Final = 60
SUBSCRIPTION: Final = "fetch-jobs"
OPEN_DOORS: Final = ("everyone", "everyone_unchecked")
TRIAL_PERCENT: Final = 10
TRIAL_SEARCHES: Final = 20  # all of them answered by the revision of before: one time in eight
QUERY: Final = {"t": "horse", "s_query": "horses amidst flowers", "wait": "25"}

Seen = TypeVar("Seen")


class StepFailed(Exception):
    """A step did not prove what it was to prove; the message says what was seen instead."""


@dataclass(frozen=True)
class Outcome:
    """What came of a step: "passed", "failed" or "left out", after how many seconds, and why."""

    step: str
    proves: str
    outcome: str
    seconds: float
    detail: str


@dataclass
class Deployment:
    """
    A project, and what Terraform has made in it.

    Attributes:
        environment: a folder of terraform/environments.
        place: arguments of the first deployment that choose region and profile.
        values: the outputs, by name, as they were after the first deployment.
        resources: what is in the state, by address within the module.
    """

    project: str
    environment: str = "dev"
    place: Sequence[str] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def check_label(self) -> None:
        """
        Raise StepFailed unless the project is marked as one that may be emptied.

        All that is in it is destroyed at the end, so that no project of another use comes in here.
        """
        label = run(
            *("gcloud", "projects", "describe", self.project, f"--format=value(labels.{LABEL})")
        ).strip()
        if label != "true":
            raise StepFailed(
                f"the project {self.project} must have the label {LABEL}=true, got {label!r}: all"
                f" that is in it is destroyed. gcloud projects update {self.project}"
                f" --update-labels={LABEL}=true"
            )

    def check_inputs(self) -> None:
        """
        Raise StepFailed unless the environment is one that the steps can search.

        They search by HTTP with nothing but an address, and a first deployment without a key would
        stop half way, with what it made till then.
        """
        text = (ROOT / "terraform" / "environments" / self.environment / "main.tf").read_text()
        given = dict(re.findall(r"(?m)^[ \t]*(\w+)[ \t]*=[ \t]*(.*?)[ \t]*(?:#.*)?$", text))
        door = given.get("door", '"everyone"').strip('"')
        if door not in OPEN_DOORS:
            raise StepFailed(
                f"door must be one of {', '.join(OPEN_DOORS)}, got {door!r}: the steps sign in"
                " nowhere"
            )
        for name in ("api_key", "domain"):
            if given.get(name, "null") != "null":
                raise StepFailed(
                    f"{name} must be null, got {given[name]}: the steps search at the function's"
                    " own address, without a key"
                )
        asks_pixabay = '"pixabay"' in given.get("image_sources", '"pixabay"')
        if asks_pixabay and not os.environ.get("PIXABAY_API_KEY"):
            raise StepFailed(
                "PIXABAY_API_KEY must have the key of the Pixabay API, which is a source: nobody is"
                " asked for it here"
            )

    def apply(self) -> str:
        """Deploy, and read what there is."""
        command = (
            *("tools/first_deployment.sh", f"--project={self.project}"),
            *(f"--environment={self.environment}", *self.place, "--yes"),
        )
        try:
            run(*command)
        except StepFailed:  # most often rights that take some minutes to spread
            time.sleep(RIGHTS_SECONDS)
            run(*command)
        outputs = json.loads(run("terraform", self._root, "output", "-json"))
        self.values = {name: output["value"] for name, output in outputs.items()}
        state = json.loads(run("terraform", self._root, "show", "-json"))
        [module] = state["values"]["root_module"]["child_modules"]
        self.resources = {
            resource["address"].removeprefix(MODULE): resource["values"]
            for resource in module["resources"]
        }
        return f"{len(self.resources)} resources, {self.values['api_url']}"

    def plan_again(self) -> str:
        """Plan what was applied a minute ago; Google may write what no configuration says."""
        planned = self._terraform("plan", "-detailed-exitcode", "-lock=false", succeeds=(0, 2))
        if planned.returncode == 2:
            changes = [line.strip() for line in planned.stdout.splitlines() if "# " in line]
            raise StepFailed(f"a second apply would change: {'; '.join(changes)}")
        return "no changes"

    def search(self) -> str:
        """Search a new keyword until its pool is complete, and fetch the best hit's picture."""
        body = waited_for(self._complete, SEARCH_SECONDS, "a complete answer of a new keyword")
        best = body["results"][0]
        picture = requests.get(best["url"], timeout=HTTP_SECONDS)
        kind = picture.headers.get("Content-Type", "")
        if picture.status_code != 200 or not kind.startswith("image/"):
            raise StepFailed(
                f"{best['url']} answered {picture.status_code} with {kind or 'nothing'}"
            )
        return f"{len(body['results'])} hits of a pool of {body['pool']['embedded']}"

    def share_traffic(self) -> str:
        """Give a tenth of the traffic to a new revision of the query function, and search."""
        services, query = self._services(), self._query
        stable = services.traffic(query).stable
        roll_out.hold(services)
        with zipfile.ZipFile(ROOT / ARCHIVE, "a") as packed:
            packed.comment = uuid.uuid4().hex.encode()  # other bytes, and so another revision
        self._deploy_archive()
        if (held := services.traffic(query).percents) != {stable: 100}:
            raise StepFailed(f"before it was given any, what is new had traffic: {held}")
        roll_out.share(services, TRIAL_PERCENT)
        shared = services.traffic(query).percents
        if len(shared) != 2 or shared.get(stable) != 100 - TRIAL_PERCENT:
            raise StepFailed(f"{stable} should have {100 - TRIAL_PERCENT} %, got {shared}")
        self._search_often()
        return f"{shared}, and {TRIAL_SEARCHES} searches answered"

    def roll_back(self) -> str:
        """Take back what is on trial, search, and deploy what was there before."""
        services, query = self._services(), self._query
        try:
            stable = services.traffic(query).stable
            roll_out.take_back(services, is_named=False)
            if (serving := services.traffic(query).percents) != {stable: 100}:
                raise StepFailed(f"{stable} should have all traffic, got {serving}")
            self._search_often()
        finally:
            with zipfile.ZipFile(ROOT / ARCHIVE, "a") as packed:
                packed.comment = b""
            self._deploy_archive()
            roll_out.promote(services)
        return f"all traffic is with {stable} again, and {TRIAL_SEARCHES} searches answered"

    def dead_letter(self) -> str:
        """Let one message fail until Pub/Sub gives it up, and find it as the alert finds it."""
        worker = self.resources[f'google_pubsub_subscription.work["{SUBSCRIPTION}"]']
        alert = self.resources['google_monitoring_alert_policy.metric["dead-letters"]']
        kept = self.resources[f'google_pubsub_subscription.dead_letter_kept["{SUBSCRIPTION}"]']
        [push], [policy] = worker["push_config"], worker["dead_letter_policy"]
        [token] = push["oidc_token"]
        mark = uuid.uuid4().hex
        run(  # 15 attempts take more than an hour; to a path that there is not, five take seconds
            *("gcloud", "pubsub", "subscriptions", "update", worker["name"]),
            f"--project={self.project}",
            f"--dead-letter-topic={policy['dead_letter_topic']}",
            *("--max-delivery-attempts=5", "--min-retry-delay=1s", "--max-retry-delay=1s"),
            f"--push-endpoint={push['push_endpoint']}-that-there-is-not",
            f"--push-auth-service-account={token['service_account_email']}",
            f"--push-auth-token-audience={token['audience']}",
        )
        try:
            run(
                *("gcloud", "pubsub", "topics", "publish", worker["topic"].rpartition("/")[2]),
                *(f"--project={self.project}", f"--message={mark}"),
            )
            waited_for(
                lambda: mark in self._pulled(kept["name"]),
                DEAD_LETTER_SECONDS,
                f"the message in {kept['name']}",
            )
            condition = alert["conditions"][0]["condition_threshold"][0]["filter"]
            waited_for(
                lambda: self._series(condition),
                DEAD_LETTER_SECONDS,
                f"a point of the alert's filter, {condition}",
            )
        finally:
            self._terraform("apply", "-auto-approve")
        return f"kept in {kept['name']}, and counted by the filter of {alert['display_name']!r}"

    def forget(self) -> str:
        """Forget the best hit, and look for it at every door."""
        best = self._complete()
        if not best:
            raise StepFailed("there was no complete answer to forget a picture of")
        image = best["results"][0]
        run(
            *(str(IMAGESEARCH), "forget", image["image_id"]),
            **self.values["settings"],
        )
        waited_for(
            lambda: not self._is_shown(image),
            FORGET_SECONDS,
            f"an answer without {image['image_id']}, whose picture is not served",
        )
        return f"{image['image_id']} is in no answer, and its picture is gone"

    def destroy(self) -> str:
        """Take all of it down, the state's bucket last."""
        self._terraform("destroy", "-auto-approve")
        if left := run("terraform", self._root, "state", "list").split():
            raise StepFailed(f"the state still has {', '.join(left)}")
        run("gcloud", "storage", "rm", "--recursive", f"gs://{self._state_bucket}")
        buckets = run("gcloud", "storage", "ls", f"--project={self.project}").split()
        return f"left: {', '.join(buckets) or 'no bucket'}"

    @property
    def _query(self) -> str:
        name: str = self.resources["google_cloudfunctions2_function.query"]["name"]
        return name

    def _services(self) -> roll_out.Services:
        return roll_out.Services(self.values["services"], self.project, self.values["region"])

    def _deploy_archive(self) -> None:
        """Upload the query function's zip as a roll-out does, and apply."""
        digest = hashlib.sha256((ROOT / ARCHIVE).read_bytes()).hexdigest()
        target = f"gs://{self.values['sources_bucket']}/query-{digest}.zip"
        run("gcloud", "storage", "cp", "--no-clobber", str(ARCHIVE), target)
        self._terraform("apply", "-auto-approve")

    def _search_often(self) -> None:
        """Search as often as any revision that serves is likely to answer."""
        for _ in range(TRIAL_SEARCHES):
            if not self._complete():
                raise StepFailed("a search was not answered while revisions changed")

    @property
    def _root(self) -> str:
        return f"-chdir=terraform/environments/{self.environment}"

    @property
    def _state_bucket(self) -> str:
        bucket: str = self.values["sources_bucket"].removesuffix("-sources")
        return f"{bucket}-state"

    def _terraform(
        self, action: str, *arguments: str, succeeds: Sequence[int] = (0,)
    ) -> subprocess.CompletedProcess[str]:
        variables = {
            "project_id": self.project,
            "state_bucket": self._state_bucket,
            **{
                name: self.values[name]
                for name in ("region", "inference_profile", "inference_image")
            },
            **({"app_image": image} if (image := self.values["app_image"]) else {}),
        }
        given = [f"-var={name}={value}" for name, value in variables.items()]
        command = ("terraform", self._root, action, "-input=false", "-no-color", *given)
        return completed([*command, *arguments], succeeds)

    def _complete(self) -> dict[str, Any] | None:
        """Return the answer of the search, or None while its pool is not complete."""
        answer = requests.get(
            f"{self.values['api_url']}/search", params=QUERY, timeout=HTTP_SECONDS
        )
        if answer.status_code not in (200, 202, 429, 503, 504):
            raise StepFailed(f"the search answered {answer.status_code}: {answer.text[:300]}")
        body: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
        return body if body.get("complete") and body["results"] else None

    def _pulled(self, subscription: str) -> list[str]:
        """Return the messages that a subscription has, which stay there."""
        pulled = run(
            *("gcloud", "pubsub", "subscriptions", "pull", subscription, "--limit=100"),
            *(f"--project={self.project}", "--format=json"),
        )
        return [base64.b64decode(each["message"]["data"]).decode() for each in json.loads(pulled)]

    def _series(self, condition: str) -> list[object]:
        """Return the time series of the last hour that a filter of Cloud Monitoring chooses."""
        token = run("gcloud", "auth", "print-access-token").strip()
        now = time.time()
        stamps = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) for at in (now - 3600, now)]
        answer = requests.get(
            f"{MONITORING}/projects/{self.project}/timeSeries",
            params={
                "filter": condition,
                "interval.startTime": stamps[0],
                "interval.endTime": stamps[1],
            },
            headers={"Authorization": f"Bearer {token}"},
            timeout=HTTP_SECONDS,
        )
        if answer.status_code != 200:
            raise StepFailed(f"Cloud Monitoring answered {answer.status_code}: {answer.text[:300]}")
        return [
            series
            for series in answer.json().get("timeSeries", [])
            if any(int(point["value"].get("int64Value", 0)) > 0 for point in series["points"])
        ]

    def _is_shown(self, image: Mapping[str, Any]) -> bool:
        """Return whether an image is in the answer, or is served: by a new URL, past all caches."""
        body = self._complete()
        if body is None or any(hit["image_id"] == image["image_id"] for hit in body["results"]):
            return True
        url = f"{image['url']}?{uuid.uuid4().hex}"
        # Who may not list a bucket is told 403 of what is not there.
        return requests.get(url, timeout=HTTP_SECONDS).status_code not in (403, 404)


def run(*command: str, **environment: str) -> str:
    """
    Run a command of others in the checkout and return what it printed.

    Raises:
        StepFailed: it ended otherwise than with 0.
    """
    return completed(command, (0,), environment).stdout


def completed(
    command: Sequence[str], succeeds: Sequence[int], environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command that is said before; what it says goes to the terminal where it fails."""
    print(f"+ {' '.join(command)}", flush=True)
    ended = subprocess.run(  # noqa: S603 - of this program alone
        command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode not in succeeds:
        print(ended.stdout, ended.stderr, sep="\n", file=sys.stderr, flush=True)
        last = (ended.stderr.strip() or ended.stdout.strip() or "nothing").splitlines()[-1]
        raise StepFailed(f"{command[0]} ended with {ended.returncode}: {last}")
    return ended


def waited_for(look: Callable[[], Seen | None], seconds: float, what: str) -> Seen:
    """Return what *look* returns once that is true; StepFailed after *seconds*."""
    ends = time.monotonic() + seconds
    while not (seen := look()):
        if time.monotonic() > ends:
            raise StepFailed(f"{what} did not come within {seconds:g} s")
        time.sleep(POLL_SECONDS)
    return seen


def steps(deployment: Deployment) -> list[tuple[str, str, Callable[[], str]]]:
    """Return the steps in their order: name, what it proves, and what does it."""
    return [
        (
            "apply",
            "an empty project becomes a deployment by one command, rights and APIs included",
            deployment.apply,
        ),
        (
            "plan again",
            "what is applied is what is written: a second apply would change nothing",
            deployment.plan_again,
        ),
        (
            "search",
            "the doors trust each other: a new keyword is fetched, stored, embedded and found",
            deployment.search,
        ),
        (
            "roll out",
            "what is new gets no traffic before it is given its share, and searches go on",
            deployment.share_traffic,
        ),
        (
            "roll back",
            "one command gives all traffic back to what served before, and searches go on",
            deployment.roll_back,
        ),
        (
            "dead letter",
            "what cannot be delivered is kept, and the alert's own filter sees it",
            deployment.dead_letter,
        ),
        (
            "forget",
            "a picture that is forgotten is gone from answers and from the bucket",
            deployment.forget,
        ),
    ]


def verify(deployment: Deployment, *, keeps: bool) -> Iterator[Outcome]:
    """Yield what came of each step; without a deployment the others are left out."""
    is_there = True
    for name, proves, do in steps(deployment):
        if not is_there:
            yield Outcome(name, proves, "left out", 0.0, "there is no deployment")
            continue
        outcome = tried(name, proves, do)
        is_there = bool(deployment.values)
        yield outcome
    proves = "nothing that costs is left behind"
    if keeps:
        yield Outcome("destroy", proves, "left out", 0.0, "--keep")
    elif not is_there:
        why = "run the first deployment again and then this, or delete the project"
        yield Outcome("destroy", proves, "left out", 0.0, why)
    else:
        yield tried("destroy", proves, deployment.destroy)


def tried(name: str, proves: str, do: Callable[[], str]) -> Outcome:
    """Do a step; whatever goes wrong is its outcome."""
    print(f"== {name}", flush=True)
    started = time.monotonic()
    try:
        outcome, detail = "passed", do()
    except (
        *(StepFailed, roll_out.RollOutError, requests.RequestException, OSError),
        *(KeyError, IndexError, ValueError),
    ) as error:
        outcome, detail = "failed", f"{type(error).__name__}: {error}"
    return Outcome(name, proves, outcome, time.monotonic() - started, detail)


def report(project: str, outcomes: Sequence[Outcome]) -> str:
    """Return the page of a run."""
    rows = [
        f"| {each.step} | {each.proves} | {each.outcome} | {each.seconds:,.0f} s |"
        f" {' '.join(each.detail.split()).replace('|', '/')} |"
        for each in outcomes
    ]
    commit = run("git", "describe", "--always", "--dirty").strip()
    day = time.strftime("%Y-%m-%d", time.gmtime())
    head = f"# Deployment of {commit} to {project}, {day}"
    return "\n".join(
        [
            head,
            "",
            "| step | what it proves | | took | |",
            "| --- | --- | --- | ---: | --- |",
            *rows,
            "",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify and print the report; return 1 where a step failed, 2 where none was begun."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--project", required=True, help=f"has the label {LABEL}=true")
    parser.add_argument("--environment", default="dev", help="one whose data may go: %(default)s")
    parser.add_argument("--region", help="as of the first deployment")
    parser.add_argument("--profile", choices=("split", "gpu", "cpu"), default="cpu")
    parser.add_argument("--keep", action="store_true", help="do not destroy what was made")
    given = parser.parse_args(arguments)
    place = [f"--profile={given.profile}", *([f"--region={given.region}"] if given.region else [])]
    deployment = Deployment(given.project, given.environment, place)
    try:
        deployment.check_inputs()
        deployment.check_label()
    except (StepFailed, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    outcomes = list(verify(deployment, keeps=given.keep))
    page = report(given.project, outcomes)
    (ROOT / REPORT).parent.mkdir(exist_ok=True)
    (ROOT / REPORT).write_text(page, encoding="utf-8")
    print(page)
    return 1 if any(each.outcome == "failed" for each in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
