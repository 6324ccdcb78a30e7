"""cloudbuild.yaml's steps, run as they stand, with programs of others' that only take notes.

That Cloud Build understands the file is tested in `test_cloudbuild.py`.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.machine import ROOT, Machine
from tests.unit.test_cloudbuild import steps

STRUCTURE = {"address": "google_pubsub_topic.new", "type": "google_pubsub_topic"}
NO_ROLL_OUT = {"resource_changes": [{**STRUCTURE, "change": {"actions": ["create"]}}]}
OUTPUTS = {
    "region": "us-east4",
    "inference_profile": "split",
    "image_repository": "registry/repository",
    "inference_image": "registry/repository/inference@sha256:deployed",
    "sources_bucket": "my-project-imagesearch-sources",
}
PROD = "terraform/environments/prod"
TERRAFORM = """
case "$*" in
  *" output -raw "*) cat "$state/outputs/${*: -1}" ;;
  *" show -json "*) cat "$state/plan.json" ;;
esac
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """What the steps find: the two zips, and a project in which OUTPUTS are deployed."""
    machine = Machine(tmp_path)
    (machine.project / "build").mkdir()
    for name in ("query", "fetch"):
        (machine.project / "build" / f"{name}.zip").write_text(name)
    (machine.project / PROD).mkdir(parents=True)
    (machine.project / PROD / "main.tf").touch()
    (machine.state / "outputs").mkdir()
    for name, value in OUTPUTS.items():
        (machine.state / "outputs" / name).write_text(value)
    (machine.state / "plan.json").write_text("{}")
    machine.add_program("gcloud", "exit 0")
    machine.add_program("terraform", TERRAFORM)
    return machine


def run(machine: Machine, *names: str, fails: str = "", **variables: str) -> str:
    """Run the steps *names* as Cloud Build does, up to the one that *fails*; return their word."""
    given = {
        "BRANCH_NAME": "main",
        "DEPLOY_BRANCH": "main",
        "PULL_REQUEST": "",
        "BUILD_ID": "build-7",
        "PROJECT_ID": "my-project",
        "STATE_BUCKET": "state",
        "ENVIRONMENT": "prod",
        **variables,
    }
    printed = ""
    for name in names:
        step = steps()[name]
        wanted = {one.partition("=")[0] for one in step.get("env", [])} & set(given)
        ended = machine.run(["sh", "-c", step["script"]], **{key: given[key] for key in wanted})
        printed += ended.stdout + ended.stderr
        assert (ended.returncode != 0) == (name == fails), printed
        if ended.returncode:
            break
    return printed


DEPLOYS = ("deployment", "plan", "check-plan", "upload", "apply")
elsewhere = pytest.mark.parametrize(
    ("branch", "pull_request"),
    [("feature", ""), ("", ""), ("main", "7"), ("feature", "7"), ("main2", ""), ("mai", "")],
)


def test_a_commit_on_main_is_deployed_with_the_plan_that_was_made(machine: Machine) -> None:
    run(machine, *DEPLOYS)
    uploads = [
        f"gcloud storage cp --no-clobber build/{name}.zip gs://my-project-imagesearch-sources/"
        f"{name}-{hashlib.sha256(name.encode()).hexdigest()}.zip"
        for name in ("query", "fetch")
    ]
    applied = f"terraform -chdir={PROD} apply -input=false -lock-timeout=300s ../../../build/plan"
    assert machine.calls[-3:] == [*uploads, applied]
    (planned,) = [call for call in machine.calls if " plan " in call]
    assert " -lock-timeout=300s -out=../../../build/plan " in planned
    assert "refresh" not in planned


def test_a_plan_is_of_the_region_and_profile_that_are_deployed(machine: Machine) -> None:
    run(machine, "deployment", "plan")
    (planned,) = [call for call in machine.calls if " plan " in call]
    assert " -var=region=us-east4 " in planned
    assert " -var=inference_profile=split " in planned


@elsewhere
def test_another_branch_and_any_pull_request_are_planned_only(
    branch: str, pull_request: str, machine: Machine
) -> None:
    """A stranger's pull request may come from a branch that is called main, too."""
    printed = run(machine, *DEPLOYS, BRANCH_NAME=branch, PULL_REQUEST=pull_request)
    assert "Planned only" in printed
    assert not any("gcloud" in call or " apply " in call for call in machine.calls)
    (planned,) = [call for call in machine.calls if " plan " in call]
    # All that its account may do: read the state, and neither lock it nor look at what is there.
    assert " -lock=false -refresh=false -out=../../../build/plan " in planned
    assert f" -var=inference_image={OUTPUTS['inference_image']}" in planned


def test_a_leftover_of_an_earlier_build_deploys_nothing(machine: Machine) -> None:
    (machine.project / "build" / "deploy").touch()
    run(machine, *DEPLOYS, BRANCH_NAME="feature")
    assert not any("gcloud" in call or " apply " in call for call in machine.calls)


def test_a_change_of_the_structure_stops_before_anything_is_changed(machine: Machine) -> None:
    (machine.state / "plan.json").write_text(json.dumps(NO_ROLL_OUT))
    printed = run(machine, *DEPLOYS, fails="check-plan")
    assert not any("gcloud" in call or " apply " in call for call in machine.calls)
    assert "google_pubsub_topic.new: create" in printed
    assert "tools/first_deployment.sh" in printed


def test_a_proposal_that_changes_the_structure_is_told_so_and_passes(machine: Machine) -> None:
    (machine.state / "plan.json").write_text(json.dumps(NO_ROLL_OUT))
    printed = run(machine, *DEPLOYS, PULL_REQUEST="7")
    assert "google_pubsub_topic.new: create" in printed


def test_where_nothing_is_deployed_the_first_deployment_is_named(machine: Machine) -> None:
    (machine.state / "outputs" / "region").unlink()
    printed = run(machine, *DEPLOYS, fails="deployment")
    assert "Nothing is deployed that gs://state knows of: run tools/first_depl" in printed


def test_the_tests_run_with_the_terraform_that_plans(machine: Machine) -> None:
    """Else those that read terraform/ would all be skipped."""
    run(machine, "deployment")
    assert (machine.project / "build" / "bin" / "terraform").is_file()
    assert 'PATH="/workspace/build/bin:$PATH" make test' in steps()["test"]["script"]


# The image

DIGEST = "sha256:" + "ab" * 32
DOCKER = """
file=/dev/null
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
    return machine.run(["sh", script, "registry/repository", profile, "tag", "build/image"])


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
    cache = f"type=registry,ref=registry/repository-cache/inference:{accelerator}"
    assert f"--cache-from {cache} --cache-to {cache},mode=max," in built
    assert built.endswith(" .")
    registry = (ROOT / "terraform" / "registry.tf").read_text()
    assert 'repository_id = "${local.name}-cache"' in registry


@pytest.mark.parametrize(
    ("said", "models"),
    [
        ("", []),
        ('clip_model = "small"', ["CLIP_MODEL=small"]),
        ('clip_model = "best"', ["CLIP_MODEL=best", "CLIP_REVISION="]),
        (
            '  clip_model="best" # finds more\nclip_revision = "12ab"\n'
            'previous_clip_model = "someone/tiny"\nprevious_clip_revision = "34cd"',
            [
                *("CLIP_MODEL=best", "CLIP_REVISION=12ab"),
                *("PREVIOUS_CLIP_MODEL=someone/tiny", "PREVIOUS_CLIP_REVISION=34cd"),
            ],
        ),
        ('# clip_model = "best"\nalert_email = "clip_model"', []),
    ],
)
def test_the_image_has_the_models_that_the_variables_name(
    said: str, models: list[str], machine: Machine
) -> None:
    (machine.project / PROD / "main.tf").write_text(f"{said}\n")
    assert push(machine, "cpu", {"containerimage.digest": DIGEST}).returncode == 0
    arguments = re.findall(r"--build-arg (\S*)", machine.calls[-1])
    assert arguments == ["ACCELERATOR=cpu", *models]


def test_the_image_of_a_commit_on_main_is_pushed_and_planned_with(machine: Machine) -> None:
    built = build_image(machine)
    assert "--tag registry/repository/inference:build-7 --push " in built
    image = (machine.project / "build" / "inference_image").read_text()
    assert image == f"registry/repository/inference@{DIGEST}\n"


@elsewhere
def test_the_image_of_a_proposal_is_built_and_pushed_nowhere(
    branch: str, pull_request: str, machine: Machine
) -> None:
    """Neither among those that are kept for rolling back, nor into the cache of later builds."""
    built = build_image(machine, BRANCH_NAME=branch, PULL_REQUEST=pull_request)
    assert "--push" not in built
    assert "--cache-to" not in built
    assert "--cache-from" in built
    image = (machine.project / "build" / "inference_image").read_text()
    assert image == OUTPUTS["inference_image"]


def build_image(machine: Machine, **variables: str) -> str:
    (machine.state / "metadata").write_text(json.dumps({"containerimage.digest": DIGEST}))
    machine.add_program("docker", DOCKER)
    (machine.project / "tools").symlink_to(ROOT / "tools")
    run(machine, "deployment", "image", **variables)
    return machine.calls[-1]


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


# Drift


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (0, "What is there is what the configuration says."),
        (2, "What is deployed by gs://state has drifted"),
        (1, "Whether what is deployed by gs://state has drifted is not known"),
    ],
)
def test_a_plan_that_changes_something_fails_and_says_so(
    status: int, said: str, machine: Machine
) -> None:
    machine.add_program("terraform", f'case "$*" in *" plan "*) exit {status} ;; esac{TERRAFORM}')
    given = {"ENVIRONMENT": "prod", "PROJECT_ID": "my-project", "STATE_BUCKET": "state"}
    ended = machine.run(["sh", "-c", steps("drift.yaml")["plan"]["script"]], **given)
    assert ended.returncode == status
    assert said in ended.stdout
    (planned,) = [call for call in machine.calls if " plan " in call]
    assert " -lock=false -detailed-exitcode " in planned
    assert f"-var=inference_image={OUTPUTS['inference_image']}" in planned
    assert not any(" apply " in call for call in machine.calls)
