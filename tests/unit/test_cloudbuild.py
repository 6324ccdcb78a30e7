"""cloudbuild.yaml: sound as Cloud Build reads it, and its steps do what they say, Google faked.

What Cloud Build knows beside the project's own words is its documented schema; the steps' scripts
run as they stand, with programs of Google's and HashiCorp's on the PATH that only take notes.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.machine import Machine
from tools.check_plan import structural_changes

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ["cloudbuild.yaml", "inference_service/cloudbuild.yaml"]

# Source: https://cloud.google.com/build/docs/build-config-file-schema
BUILD_FIELDS = set(
    "steps timeout queueTtl logsBucket options substitutions tags serviceAccount secrets"
    " availableSecrets artifacts images".split()
)
STEP_FIELDS = set(
    "name args env allowFailure allowExitCodes dir id waitFor entrypoint secretEnv volumes timeout"
    " script automapSubstitutions".split()
)
OPTION_FIELDS = set(
    "env secretEnv volumes sourceProvenanceHash machineType diskSizeGb substitutionOption"
    " dynamicSubstitutions automapSubstitutions logStreamingOption logging"
    " defaultLogsBucketBehavior pool pubsubTopic requestedVerifyOption".split()
)
MACHINES = {"E2_MEDIUM", "E2_HIGHCPU_8", "E2_HIGHCPU_32", "N1_HIGHCPU_8", "N1_HIGHCPU_32"}
# Source: https://cloud.google.com/build/docs/configuring-builds/substitute-variable-values
BUILT_IN = set(
    "PROJECT_ID BUILD_ID PROJECT_NUMBER LOCATION TRIGGER_NAME COMMIT_SHA REVISION_ID SHORT_SHA"
    " REPO_NAME REPO_FULL_NAME BRANCH_NAME TAG_NAME REF_NAME TRIGGER_BUILD_CONFIG_PATH"
    " SERVICE_ACCOUNT_EMAIL SERVICE_ACCOUNT".split()
)
SUBSTITUTION = re.compile(r"\$\$|\$(\w+)|\$\{(\w+)\}")


def build(config: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / config).read_text())
    return loaded


def steps(config: str = "cloudbuild.yaml") -> dict[str, dict[str, Any]]:
    return {step["id"]: step for step in build(config)["steps"]}


def texts(value: object) -> list[str]:
    """Return every text in *value* that Cloud Build substitutes in; scripts it leaves alone."""
    if isinstance(value, dict):
        return [text for key, one in value.items() if key != "script" for text in texts(one)]
    if isinstance(value, list):
        return [text for one in value for text in texts(one)]
    return [value] if isinstance(value, str) else []


def substituted(value: object) -> set[str]:
    """Return the names of the substitutions in *value*."""
    found = [match for text in texts(value) for match in SUBSTITUTION.finditer(text)]
    return {match[1] or match[2] for match in found if match[0] != "$$"}


def seconds(duration: str) -> int:
    match = re.fullmatch(r"(\d+)s", duration)
    assert match, duration
    return int(match[1])


# As Cloud Build reads it

each_config = pytest.mark.parametrize("config", CONFIGS)


@each_config
def test_every_field_is_one_that_cloud_build_knows(config: str) -> None:
    found = build(config)
    assert set(found) <= BUILD_FIELDS
    assert set(found["options"]) <= OPTION_FIELDS
    for step in found["steps"]:
        assert set(step) <= STEP_FIELDS, step["id"]
        assert {"id", "name", *({"script", "args"} & set(step))} <= set(step)
        # Cloud Build takes a script or a command, not both.
        assert ("script" in step) != ("args" in step), step["id"]
        assert all(isinstance(one, str) for one in [*step.get("args", []), *step.get("env", [])])
        assert all("=" in one for one in step.get("env", [])), step["id"]


@each_config
def test_steps_wait_for_steps_that_come_before_them(config: str) -> None:
    before: list[str] = []
    for step in build(config)["steps"]:
        assert set(step.get("waitFor", [])) <= {*before, "-"}, step["id"]
        assert step["id"] not in before
        before.append(step["id"])


@each_config
def test_every_substitution_is_defined_and_every_defined_one_is_used(config: str) -> None:
    found = build(config)
    defined = found.pop("substitutions")
    used = substituted(found) | substituted(list(defined.values()))
    assert used - BUILT_IN == set(defined)
    assert all(re.fullmatch(r"_[A-Z0-9_]+", name) for name in defined)
    assert all(isinstance(value, str) for value in defined.values())
    # One substitution in the value of another is left as it stands without this.
    assert found["options"]["dynamicSubstitutions"] is True


@each_config
def test_a_script_gets_its_substitutions_as_variables_because_none_are_put_into_it(
    config: str,
) -> None:
    for step in build(config)["steps"]:
        script = step.get("script", "")
        given = {one.partition("=")[0] for one in step.get("env", [])}
        local = set(re.findall(r"\bfor (\w+) in|^\s*(\w+)=", script, re.M))
        read = {match[1] or match[2] for match in SUBSTITUTION.finditer(script) if match[0] != "$$"}
        own = {name for pair in local for name in pair if name}
        assert read <= given | own, step["id"]
        assert not script or script.startswith("#!/bin/sh\nset -eu\n"), step["id"]


@each_config
def test_every_image_has_a_tag_that_is_not_the_latest(config: str) -> None:
    for step in build(config)["steps"]:
        tag = step["name"].rpartition("/")[2].partition(":")[2]
        assert tag, step["name"]
        assert tag != "latest"


@each_config
def test_the_build_runs_as_the_deployer_and_logs_where_such_a_build_must(config: str) -> None:
    found = build(config)
    terraform = (ROOT / "terraform" / "deployer.tf").read_text()
    assert 'account_id   = "${local.name}-deployer"' in terraform
    account = f"{terraform_name()}-deployer@$PROJECT_ID.iam.gserviceaccount.com"
    assert found["serviceAccount"] == f"projects/$PROJECT_ID/serviceAccounts/{account}"
    assert found["options"]["logging"] == "CLOUD_LOGGING_ONLY"
    assert found["options"]["machineType"] in MACHINES


@each_config
def test_the_time_limits_leave_every_chain_of_steps_its_time(config: str) -> None:
    found = build(config)
    limit = seconds(found["timeout"])
    assert limit <= 24 * 3600
    ends: dict[str, int] = {}
    for step in found["steps"]:
        waits = [one for one in step.get("waitFor", [*ends]) if one != "-"]
        start = max((ends[one] for one in waits), default=0)
        ends[step["id"]] = start + seconds(step.get("timeout", found["timeout"]))
    assert max(ends.values()) <= limit


def test_what_takes_long_starts_at_once() -> None:
    for name in ("test", "package", "image"):
        assert steps()[name]["waitFor"] == ["-"]


def test_nothing_is_deployed_before_every_check_has_passed() -> None:
    before: dict[str, set[str]] = {}
    for name, step in steps().items():
        waits = set(step["waitFor"]) - {"-"}
        before[name] = waits.union(*(before[one] for one in waits))
    assert before["check-plan"] == {"test", "terraform-test", "plan", "image", "package"}
    assert "check-plan" in before["upload"]
    assert "upload" in before["apply"]
    # Both write the lock file of Terraform's providers.
    assert "terraform-test" in before["plan"]


@each_config
def test_the_files_that_the_steps_run_exist(config: str) -> None:
    for step in build(config)["steps"]:
        named = re.findall(r"\btools/\w+\.sh\b", " ".join(step.get("args", [])))
        named += [
            f"{module.replace('.', '/')}.py"
            for module in re.findall(r"python -m ([\w.]+)", step.get("script", ""))
        ]
        assert [name for name in named if not (ROOT / name).is_file()] == []


# The words shared with Terraform


def terraform_name() -> str:
    match = re.search(r'^  name = "([a-z-]+)"', (ROOT / "terraform/services.tf").read_text(), re.M)
    assert match
    return match[1]


def declared(kind: str) -> set[str]:
    text = "\n".join(path.read_text() for path in (ROOT / "terraform").glob("*.tf"))
    return {
        ".".join(re.findall(r'"(\w+)"', line))
        for line in re.findall(rf'^{kind} ("\w+"(?: "\w+")?) {{', text, re.M)
    }


@pytest.mark.parametrize("file", ["cloudbuild.yaml", "tools/first_deployment.sh"])
def test_the_variables_and_resources_that_are_named_are_declared(file: str) -> None:
    text = (ROOT / file).read_text()
    variables = set(re.findall(r'-var="?(\w+)=', text))
    assert {"project_id", "region", "state_bucket", "inference_profile"} <= variables
    assert variables <= declared("variable")
    assert set(re.findall(r"-target=(\S+)", text)) <= declared("resource")


def test_buckets_repository_and_secret_are_called_as_in_terraform() -> None:
    name = terraform_name()
    files = {path.name: path.read_text() for path in (ROOT / "terraform").glob("*.tf")}
    assert '"${var.project_id}-${local.name}-sources"' in files["function_sources.tf"]
    assert '"${name}-${filesha256(path)}.zip"' in files["function_sources.tf"]
    assert "repository_id = local.name" in files["registry.tf"]
    assert 'secret_id = "${local.name}-pixabay-key"' in files["pixabay_key.tf"]
    script = (ROOT / "tools" / "first_deployment.sh").read_text()
    assert f"sources_bucket=$project-{name}-sources" in script
    assert f"repository=$region-docker.pkg.dev/$project/{name}" in script
    assert f"key_secret={name}-pixabay-key" in script
    assert f"gs://$PROJECT_ID-{name}-sources/" in steps()["upload"]["script"]
    default = build("cloudbuild.yaml")["substitutions"]["_STATE_BUCKET"]
    assert default == f"${{PROJECT_ID}}-{name}-state"
    assert f"state_bucket=$project-{name}-state" in script


# The steps, run


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def change(kind: str, *actions: str) -> dict[str, Any]:
    return {"address": f"{kind}.this", "type": kind, "change": {"actions": [*actions]}}


ROLL_OUT = {
    "resource_changes": [
        change("google_cloud_run_v2_service", "update"),
        change("google_cloudfunctions2_function", "update"),
        change("google_pubsub_topic", "no-op"),
        change("google_project", "read"),
    ]
}


def deploy(machine: Machine, plan: Mapping[str, Any], **variables: str) -> list[str]:
    """Run the steps from check-plan to apply as Cloud Build does; return what they printed."""
    (machine.project / "build").mkdir(exist_ok=True)
    (machine.project / "build" / "plan.json").write_text(json.dumps(plan))
    for name in ("query", "fetch"):
        (machine.project / "build" / f"{name}.zip").write_text(name)
    machine.add_program("gcloud", "exit 0")
    machine.add_program("terraform", "exit 0")
    defaults = {"BRANCH_NAME": "main", "DEPLOY_BRANCH": "main", "PULL_REQUEST": ""}
    given = {**defaults, "PROJECT_ID": "my-project", **variables}
    printed = []
    for name in ("check-plan", "upload", "apply"):
        step = steps()[name]
        wanted = {one.partition("=")[0] for one in step["env"]} & set(given)
        ended = machine.run(["sh", "-c", step["script"]], **{key: given[key] for key in wanted})
        printed.append(ended.stdout + ended.stderr)
        if ended.returncode:
            break
    return printed


def test_a_commit_on_main_is_deployed_with_the_plan_that_was_made(machine: Machine) -> None:
    deploy(machine, ROLL_OUT)
    uploads = [
        f"gcloud storage cp --no-clobber build/{name}.zip gs://my-project-imagesearch-sources/"
        f"{name}-{hashlib.sha256(name.encode()).hexdigest()}.zip"
        for name in ("query", "fetch")
    ]
    applied = "terraform -chdir=terraform apply -input=false -lock-timeout=300s ../build/plan"
    assert machine.calls == [*uploads, applied]
    assert "-out=../build/plan " in steps()["plan"]["script"]


@pytest.mark.parametrize(
    ("branch", "pull_request"),
    [("feature", ""), ("", ""), ("main", "7"), ("feature", "7"), ("main2", ""), ("mai", "")],
)
def test_another_branch_and_any_pull_request_are_planned_only(
    branch: str, pull_request: str, machine: Machine
) -> None:
    """A stranger's pull request may come from a branch that is called main, too."""
    printed = deploy(machine, ROLL_OUT, BRANCH_NAME=branch, PULL_REQUEST=pull_request)
    assert machine.calls == []
    assert "Planned only" in printed[0]


def test_a_leftover_of_an_earlier_build_deploys_nothing(machine: Machine) -> None:
    (machine.project / "build").mkdir()
    (machine.project / "build" / "deploy").touch()
    deploy(machine, ROLL_OUT, BRANCH_NAME="feature")
    assert machine.calls == []


@pytest.mark.parametrize(
    ("kind", "actions"),
    [
        ("google_cloud_run_v2_service", ("delete", "create")),
        ("google_cloud_run_v2_service", ("create",)),
        ("google_pubsub_topic", ("update",)),
        ("google_project_iam_member", ("create",)),
        ("google_firestore_database", ("delete",)),
    ],
)
def test_a_change_of_the_structure_stops_before_anything_is_changed(
    kind: str, actions: tuple[str, ...], machine: Machine
) -> None:
    plan = {"resource_changes": [*ROLL_OUT["resource_changes"], change(kind, *actions)]}
    assert structural_changes(plan) == [f"{kind}.this: {' and '.join(actions)}"]
    printed = deploy(machine, plan)
    assert machine.calls == []
    assert f"{kind}.this: {' and '.join(actions)}" in printed[0]
    assert "tools/first_deployment.sh" in printed[0]


def test_a_plan_without_changes_is_a_roll_out_of_nothing() -> None:
    assert structural_changes({}) == []


def test_what_may_be_rolled_out_is_what_the_deployer_has_rights_on() -> None:
    from tools.check_plan import ROLLED_OUT

    text = (ROOT / "terraform" / "deployer.tf").read_text()
    granted = set(re.findall(r'^resource "(google_cloud\w+)_iam_member"', text, re.M))
    assert granted == set(ROLLED_OUT)


# The image

DIGEST = "sha256:" + "ab" * 32
DOCKER = """
case "$*" in
  "buildx build"*)
    for last; do [ "$previous" = --metadata-file ] && file=$last; previous=$last; done
    cat "$state/metadata" >"$file" ;;
esac
"""


def push(machine: Machine, profile: str, metadata: object) -> subprocess.CompletedProcess[str]:
    (machine.state / "metadata").write_text(json.dumps(metadata, indent=2))
    machine.add_program("docker", DOCKER)
    script = str(ROOT / "tools" / "push_image.sh")
    return machine.run(["sh", script, "registry/repository", "tag", profile, "build/image"])


@pytest.mark.parametrize(
    ("profile", "accelerator"), [("gpu", "cuda"), ("split", "cuda"), ("cpu", "cpu")]
)
def test_the_image_is_built_for_the_profile_and_named_by_its_digest(
    profile: str, accelerator: str, machine: Machine
) -> None:
    metadata = {"buildx.build.ref": "images/images0/x", "containerimage.digest": DIGEST}
    ended = push(machine, profile, metadata)
    assert ended.returncode == 0, ended.stderr
    image = (machine.project / "build" / "image").read_text()
    assert image == f"registry/repository/inference@{DIGEST}\n"
    built = machine.calls[-1]
    assert f"--build-arg ACCELERATOR={accelerator} " in built
    assert "--tag registry/repository/inference:tag --push " in built
    cache = f"type=registry,ref=registry/repository/inference-cache:{accelerator}"
    assert f"--cache-from {cache} --cache-to {cache},mode=max," in built
    assert built.endswith(" .")


def test_a_build_that_names_no_digest_is_a_failure(machine: Machine) -> None:
    ended = push(machine, "gpu", {"containerimage.digest": "sha256:short"})
    assert ended.returncode == 1
    assert "build/image.json names no digest of the image" in ended.stderr
    assert not (machine.project / "build" / "image").exists()


def test_an_unknown_profile_is_refused_before_anything_is_built(machine: Machine) -> None:
    ended = push(machine, "tpu", {})
    assert ended.returncode == 1
    assert ended.stderr == "the inference profile must be gpu, split or cpu, got tpu\n"
    assert machine.calls == []
