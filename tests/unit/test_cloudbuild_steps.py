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
from tests.unit.test_cloudbuild import build as config
from tests.unit.test_cloudbuild import steps

STRUCTURE = {"address": "google_pubsub_topic.new", "type": "google_pubsub_topic"}
NO_ROLL_OUT = {"resource_changes": [{**STRUCTURE, "change": {"actions": ["create"]}}]}
OUTPUTS = {
    "region": "us-east4",
    "inference_profile": "split",
    "image_repository": "registry/repository",
    "inference_image": "registry/repository/inference@sha256:deployed",
    "sources_bucket": "my-project-imagesearch-sources",
    "deployer_service_account": "imagesearch-deployer@my-project.iam.gserviceaccount.com",
}
PROD = "terraform/environments/prod"
TERRAFORM = """
case "$*" in
  *" output -json") cat "$state/outputs.json" ;;
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
    (machine.project / "tools").symlink_to(ROOT / "tools")
    (machine.state / "outputs").mkdir()
    for name, value in OUTPUTS.items():
        (machine.state / "outputs" / name).write_text(value)
    (machine.state / "plan.json").write_text("{}")
    (machine.state / "outputs.json").write_text("{}")
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


DEPLOYS = (
    *("deployment", "plan", "check-plan", "hold", "plan-held", "check-held"),
    *("upload", "apply", "share"),
)
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
    assert machine.calls[-4:-1] == [*uploads, applied]
    for planned in (call for call in machine.calls if " plan " in call):
        assert " -lock-timeout=300s -out=../../../build/plan " in planned
        assert "refresh" not in planned


CLOUD_RUN = """
revision='{"metadata": {"name": "query-%s", "creationTimestamp": "%s"},
  "status": {"conditions": [{"type": "Ready", "status": "True"}]}}'
case "$*" in
  *describe*) cat "$state/traffic" ;;
  *"services list"*) echo '[{"metadata": {"name": "query"}}]' ;;
  *"revisions list"*) printf "[$revision, $revision]" 1 2026-11-01 2 2026-11-02 ;;
esac
"""


def test_what_serves_is_held_before_the_plan_and_what_is_new_gets_its_share_at_the_end(
    machine: Machine,
) -> None:
    """The plan sends back what it read: whether a function's new revision gets all by itself."""
    outputs = {
        "services": ["query"],
        "new_revision_percent": 10,
        "region": "us-east4",
        "settings": {"GOOGLE_CLOUD_PROJECT": "my-project"},
    }
    kept = {name: {"value": value} for name, value in outputs.items()}
    (machine.state / "outputs.json").write_text(json.dumps(kept))
    serving = {"revisionName": "query-1", "percent": 100, "latestRevision": True}
    (machine.state / "traffic").write_text(json.dumps({"status": {"traffic": [serving]}}))
    machine.add_program("gcloud", CLOUD_RUN)
    run(machine, *DEPLOYS)
    words = (
        " plan ",
        "--to-revisions=query-1=100 ",
        " plan ",
        " apply ",
        "=query-2=10,query-1=90 ",
    )
    assert [
        word for call in machine.calls for word in dict.fromkeys(words) if word in call
    ] == list(words)


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
SUBMITTED = """
case "$*" in
  "artifacts docker images describe"*) cat "$state/digest" ;;
  "storage cp gs://"*) echo '{"spdxVersion": "SPDX-2.3"}' >"$4" ;;
  "builds submit"* | "artifacts sbom load"* | "storage cp --no-clobber build"*) ;;
  *) echo "unexpected: $*" >&2; exit 64 ;;
esac
"""


def build(
    machine: Machine, profile: str, *tag: str, image: str = "inference"
) -> subprocess.CompletedProcess[str]:
    machine.add_program("docker", "exit 0")
    script = str(ROOT / "tools" / "build_image.sh")
    return machine.run(["sh", script, image, "registry/repository", profile, *tag])


@pytest.mark.parametrize(
    ("profile", "accelerator"), [("gpu", "cuda"), ("split", "cuda"), ("cpu", "cpu")]
)
def test_the_image_is_built_for_the_profile_and_kept_for_the_end_of_the_build(
    profile: str, accelerator: str, machine: Machine
) -> None:
    ended = build(machine, profile, "tag")
    assert ended.returncode == 0, ended.stderr
    built = machine.calls[-1]
    assert f"--build-arg ACCELERATOR={accelerator} " in built
    assert "--tag registry/repository/inference:tag --load " in built
    cache = f"type=registry,ref=registry/repository-cache/inference:{accelerator}"
    assert f"--cache-from {cache} " in built
    assert f"--cache-to {cache},mode=max," in built
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
    assert build(machine, "cpu", "tag").returncode == 0
    arguments = re.findall(r"--build-arg (\S*)", machine.calls[-1])
    assert arguments == ["ACCELERATOR=cpu", *models]


def make_image(machine: Machine, digest: str = DIGEST, fails: str = "", **variables: str) -> str:
    (machine.state / "digest").write_text(digest)
    machine.add_program("docker", "exit 0")
    machine.add_program("gcloud", SUBMITTED)
    images = ("image", "push", "app-image", "app-push")
    return run(machine, "deployment", *images, fails=fails, **variables)


def test_the_image_of_a_commit_on_main_is_built_by_a_build_of_its_own(machine: Machine) -> None:
    make_image(machine)
    assert not any(call.startswith("docker") for call in machine.calls)
    submitted, described, fetched, loaded = machine.calls[-4:]
    assert submitted.startswith("gcloud builds submit --project=my-project ")
    assert " --config=image.yaml " in submitted
    assert f"serviceAccounts/{OUTPUTS['deployer_service_account']} " in submitted
    given = re.search(r"--substitutions=(\S+) \.$", submitted)
    assert given
    assert given[1].split(",") == [
        *("_IMAGE=inference", "_REPOSITORY=registry/repository"),
        *("_TAG=build-7", "_PROFILE=split"),
        *("_ENVIRONMENT=prod", f"_SOURCES_BUCKET={OUTPUTS['sources_bucket']}"),
    ]
    named = {one.partition("=")[0] for one in given[1].split(",")}
    assert named == set(config("image.yaml")["substitutions"])
    assert " registry/repository/inference:build-7 " in described
    image = (machine.project / "build" / "inference_image").read_text()
    assert image == f"registry/repository/inference@{DIGEST}\n"
    assert f"gs://{OUTPUTS['sources_bucket']}/sboms/inference-build-7.spdx.json" in fetched
    assert f" --uri=registry/repository/inference@{DIGEST} " in loaded


@elsewhere
def test_the_image_of_a_proposal_is_built_and_pushed_nowhere(
    branch: str, pull_request: str, machine: Machine
) -> None:
    """Neither among those that are kept for rolling back, nor into the cache of later builds."""
    make_image(machine, BRANCH_NAME=branch, PULL_REQUEST=pull_request)
    assert not any(call.startswith("gcloud") for call in machine.calls)
    built = machine.calls[-1]
    assert "--load" not in built
    assert "--cache-to" not in built
    assert "--cache-from" in built
    image = (machine.project / "build" / "inference_image").read_text()
    assert image == OUTPUTS["inference_image"]


def test_an_image_whose_digest_is_not_known_is_a_failure(machine: Machine) -> None:
    printed = make_image(machine, digest="", fails="push")
    assert "the registry names no digest of registry/repository/inference:build-7" in printed
    assert not any("sbom load" in call for call in machine.calls)


def test_an_unknown_profile_is_refused_before_anything_is_built(machine: Machine) -> None:
    ended = build(machine, "tpu")
    assert ended.returncode == 1
    assert ended.stderr == "the inference profile must be gpu, split or cpu, got tpu\n"
    assert machine.calls == []


# The web app's image


def with_app(machine: Machine) -> Machine:
    (machine.project / PROD / "main.tf").write_text("  app_enabled = true\n")
    return machine


def test_the_image_of_the_web_app_is_built_where_there_is_one_and_known_as_the_other(
    machine: Machine,
) -> None:
    make_image(with_app(machine))
    assert not any(call.startswith("docker") for call in machine.calls)
    submitted, described, fetched, loaded = machine.calls[-4:]
    assert "--config=image.yaml " in submitted
    assert "--substitutions=_IMAGE=app,_REPOSITORY=registry/repository,_TAG=build-7," in submitted
    assert " registry/repository/app:build-7 " in described
    assert "/sboms/app-build-7.spdx.json" in fetched
    assert f" --uri=registry/repository/app@{DIGEST} " in loaded
    run(machine, "plan")
    assert machine.calls[-2].endswith(f" -var=app_image=registry/repository/app@{DIGEST}")


@elsewhere
@pytest.mark.parametrize("was", ["", "registry/repository/app@sha256:deployed"])
def test_a_proposal_builds_the_web_app_and_is_planned_with_what_is_deployed(
    branch: str, pull_request: str, was: str, machine: Machine
) -> None:
    """Or with a digest that no image has, where it proposes the first one."""
    (machine.state / "outputs" / "app_image").write_text(was)
    make_image(with_app(machine), BRANCH_NAME=branch, PULL_REQUEST=pull_request)
    assert not any(call.startswith("gcloud") for call in machine.calls)
    built = machine.calls[-1]
    assert " --file app/Dockerfile " in built
    assert "--load" not in built
    image = (machine.project / "build" / "app_image").read_text().strip()
    assert image == (was or f"registry/repository/app@sha256:{'0' * 64}")


def test_without_a_web_app_no_image_of_one_is_built(machine: Machine) -> None:
    make_image(machine)
    submitted = [call for call in machine.calls if "builds submit" in call]
    assert ["_IMAGE=inference," in call for call in submitted] == [True]
    assert (machine.project / "build" / "app_image").read_text() == ""


def test_the_web_app_has_no_model_and_a_cache_of_its_own(machine: Machine) -> None:
    (machine.project / PROD / "main.tf").write_text('  clip_model = "best"\n')
    assert build(machine, "split", "tag", image="app").returncode == 0
    created, built = machine.calls
    assert " --name app " in created
    assert "--build-arg" not in built
    assert "--cache-from type=registry,ref=registry/repository-cache/app:cpu " in built
    assert "--tag registry/repository/app:tag --load ." in built


def test_an_unknown_image_is_refused_before_anything_is_built(machine: Machine) -> None:
    ended = build(machine, "cpu", image="query")
    assert ended.returncode == 1
    assert ended.stderr == "the image must be inference or app, got query\n"
    assert machine.calls == []


# Updates

UPDATES = ("images", "locks", "test", "patch", "leave")


def update(machine: Machine, *, pinned: str, fails: str = "") -> str:
    """Run update.yaml's steps in a repository whose newest versions are *pinned*."""
    for command in (["init", "-q"], ["add", "--all"], [*AUTHOR, "commit", "-qm", "before"]):
        assert machine.run(["git", *command]).returncode == 0
    machine.add_program("python", f'echo "{pinned}" >pins')
    machine.add_program("make", '[ "$*" != "$(cat "$state/fails" 2>/dev/null)" ]')
    machine.add_program("apt-get", "exit 0")
    printed = ""
    for name in UPDATES:
        script = steps("update.yaml")[name]["script"]
        ended = machine.run(["sh", "-c", script], SOURCES_BUCKET="sources", BUILD_ID="build-7")
        printed += ended.stdout + ended.stderr
        assert (ended.returncode != 0) == (name == fails), printed
        if ended.returncode:
            break
    return printed


AUTHOR = ("-c", "user.name=tests", "-c", "user.email=tests@example.com")


@pytest.fixture
def pinned(machine: Machine) -> Machine:
    (machine.project / ".gitignore").write_text("build\n")
    (machine.project / "pins").write_text("old\n")
    return machine


def test_what_is_newer_and_passes_the_tests_is_left_as_a_patch(pinned: Machine) -> None:
    printed = update(pinned, pinned="new")
    where = "gs://sources/updates/build-7.patch"
    assert pinned.calls[-1] == f"gcloud storage cp build/update.patch {where}"
    assert f"An update of gs://sources waits, tested: {where}" in printed
    assert [call for call in pinned.calls if call.startswith("make ")] == [
        "make lock terraform-lock",
        "make test checkov terraform-test",
    ]
    assert pinned.run(["git", "reset", "-q", "--hard"]).returncode == 0
    assert pinned.run(["git", "apply", "build/update.patch"]).returncode == 0
    assert (pinned.project / "pins").read_text() == "new\n"


def test_where_all_is_the_newest_nobody_is_told(pinned: Machine) -> None:
    printed = update(pinned, pinned="old")
    assert "All that is pinned is the newest." in printed
    assert "An update of" not in printed
    assert not any(call.startswith("gcloud") for call in pinned.calls)


def test_an_update_that_fails_the_tests_is_told_of_and_left_nowhere(pinned: Machine) -> None:
    (pinned.state / "fails").write_text("test checkov terraform-test")
    printed = update(pinned, pinned="new", fails="test")
    assert "An update of gs://sources does not pass the tests" in printed
    assert not any(call.startswith("gcloud") for call in pinned.calls)


@pytest.mark.parametrize("step", ["images", "terraform", "locks", "patch", "leave"])
def test_an_update_that_cannot_be_made_is_told_of_whichever_step_it_ends_at(
    step: str, pinned: Machine
) -> None:
    """Each program that a step runs fails, as for want of a right or a network."""
    (pinned.project / "build" / "update.patch").write_text("a patch")
    for program in ("python", "cp", "make", "git", "gcloud"):
        pinned.add_program(program, "exit 3")
    script = steps("update.yaml")[step]["script"]
    ended = pinned.run(["sh", "-c", script], SOURCES_BUCKET="sources", BUILD_ID="build-7")
    assert ended.returncode == 3
    assert "An update of gs://sources could not be made: see above." in ended.stdout


def test_the_alert_reads_the_words_that_the_build_says() -> None:
    alert = (ROOT / "terraform" / "updates.tf").read_text()
    assert 'textPayload : "An update of gs://${google_storage_bucket.sources.name}"' in alert


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
    assert "app_image" not in planned
    assert not any(" apply " in call for call in machine.calls)


def test_a_look_for_drift_that_does_not_come_to_a_plan_says_so_too(machine: Machine) -> None:
    (machine.project / "tools").unlink()
    (machine.project / "tools").mkdir()
    (machine.project / "tools" / "build_docs.sh").write_text("exit 3\n")
    script = steps("drift.yaml")["package"]["script"]
    ended = machine.run(["sh", "-c", script], STATE_BUCKET="state")
    assert ended.returncode == 3
    assert "deployed by gs://state has drifted is not known: see above." in ended.stdout


def test_a_plan_of_what_has_drifted_has_the_image_of_the_web_app_where_there_is_one(
    machine: Machine,
) -> None:
    (machine.state / "outputs" / "app_image").write_text("registry/app@sha256:1")
    given = {"ENVIRONMENT": "prod", "PROJECT_ID": "my-project", "STATE_BUCKET": "state"}
    machine.run(["sh", "-c", steps("drift.yaml")["plan"]["script"]], **given)
    (planned,) = [call for call in machine.calls if " plan " in call]
    assert planned.endswith(" -var=app_image=registry/app@sha256:1")
