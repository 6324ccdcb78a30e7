"""tools/first_deployment.sh, run as it stands over a Google that is played by a small script."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.machine import ROOT, Machine
from tools import costs
from tools.cost_model import load

DIGEST = "sha256:" + "ab" * 32
REPOSITORY = "europe-west4-docker.pkg.dev/my-project-123/imagesearch"

# Remembers what was made, as Google does; takes the secret's value from its input as gcloud does.
GCLOUD = """
case "$*" in
  *print-access-token*) [ ! -e "$state/no-credentials" ] ;;
  "services list"*) cat "$state/apis" 2>/dev/null || true ;;
  "services enable"*) printf '%s\\n' "${@:3}" >>"$state/apis" ;;
  "storage buckets list --project=my-project-123 --filter=name="*)
    [ ! -e "$state/unlistable" ] || { echo "ERROR: storage.buckets.list denied" >&2; exit 1; }
    [ ! -e "$state/bucket" ] || sed 's/.*=name=\\([^ ]*\\).*/\\1/' <<<"$*" ;;
  "storage buckets describe"*versioning*) cat "$state/versioning" 2>/dev/null || true ;;
  "storage buckets describe"*) [ -e "$state/bucket" ] || [ -e "$state/bucket-for-all-to-read" ] ;;
  "storage buckets create"*) [ ! -e "$state/name-is-taken" ] && touch "$state/bucket" ;;
  "storage buckets update"*) echo True >"$state/versioning" ;;
  "storage objects describe"*) grep -qxF "$4" "$state/objects" 2>/dev/null ;;
  "storage cp gs://"*) touch "$4" ;;
  "storage cp"*) echo "$4" >>"$state/objects" ;;
  "artifacts sbom load"*) ;;
  "run services list"*) cat "$state/services" 2>/dev/null || echo '[]' ;;
  "run services describe"*"invoker-iam-disabled"*) cat "$state/unchecked" 2>/dev/null || true ;;
  "run services describe"*)
    serving='{"revisionName": "a", "percent": 100, "latestRevision": true}'
    cat "$state/traffic" 2>/dev/null || echo "{\\"status\\": {\\"traffic\\": [$serving]}}" ;;
  "run revisions list"*) echo '[{"metadata": {"name": "a", "creationTimestamp": "2026"},
    "status": {}}]' ;;
  "run services update-traffic"*) ;;
  "secrets versions list"*) cat "$state/key-version" 2>/dev/null || true ;;
  "secrets versions add"*) cat >"$state/key"; echo 1 >"$state/key-version" ;;
  "artifacts docker images describe"*--format*) echo "sha256:$(printf 'ab%.0s' {1..32})" ;;
  "artifacts docker images describe"*) grep -qxF "$5" "$state/images" 2>/dev/null ;;
  "builds submit"*)
    [ ! -e "$state/build-fails" ] || { rm "$state/build-fails"; exit 1; }
    tag=$(sed 's/.*_TAG=\\([^,]*\\),.*/\\1/' <<<"$*")
    repository=$(sed 's/.*_REPOSITORY=\\([^,]*\\),.*/\\1/' <<<"$*")
    image=$(sed 's/.*_IMAGE=\\([^,]*\\),.*/\\1/' <<<"$*")
    echo "$repository/$image:$tag" >>"$state/images" ;;
  "beta services identity create"*) ;;
  "run services update imagesearch-query --no-invoker-iam-check "*) echo true >"$state/unchecked" ;;
  "run services update imagesearch-query --invoker-iam-check "*) rm "$state/unchecked" ;;
  *) echo "unexpected: $*" >&2; exit 64 ;;
esac
"""
# Keeps the outputs of what it applied, as a state does; that Terraform keeps two of them of a
# targeted apply is tested in test_check_plan.py.
TERRAFORM = """
keep() { # APPLIED [IMAGE]
  local image='' form='"%s": {"value": "%s"}'
  [ -z "${2-}" ] || image=$(printf ", $form, $form" inference_image "$2" new_revision_percent 100)
  ! grep -q -e -var=app_image= <<<"$1" ||
    image+=$(printf ", $form" app_image "$(value app_image "$1")")
  printf "{$form, $form, $form%s}" sources_bucket here region "$(value region "$1")" \\
    inference_profile "$(value inference_profile "$1")" "$image" >"$state/outputs"
}
value() { sed "s/.*-var=$1=\\([^ ]*\\).*/\\1/" <<<"$2"; }
apply() { # ARGUMENTS
  case "$1" in
    *-target=*)
      ! grep -q -e -target=module.imagesearch.terraform_data.deployment <<<"$1" || keep "$1" ;;
    *)
      [ ! -e "$state/apply-fails" ] || exit 1
      keep "$1" "$(value inference_image "$1")" ;;
  esac
}
case "$*" in
  *" output -json")
    [ ! -e "$state/unreadable" ] || exit 1
    cat "$state/outputs" 2>/dev/null || echo {} ;;
  *" plan "*) echo "$*" >"$(sed 's/.* -out=\\([^ ]*\\) .*/\\1/' <<<"$*")" ;;
  *" show -json "*) cat "$state/plan" 2>/dev/null || echo {} ;;
  *" apply -input=false "*/build/plan) apply "$(cat "${*: -1}")" ;;
  *" apply "*) apply "$*" ;;
esac
"""
COMPILED = shutil.ignore_patterns("__pycache__")
PROFILES = costs.by_profile(load())
MAKES = (
    *(" enable ", " create ", " update ", " submit ", "submit_image.sh ", " load "),
    *(" cp build/", " add ", " apply "),
)


def machine_in(folder: Path) -> Machine:
    machine = Machine(folder)
    machine.add_program("gcloud", GCLOUD)
    machine.add_program("terraform", TERRAFORM)
    return machine


def checkout_in(folder: Path, *, is_whole: bool = False) -> Machine:
    """Return a machine with our checkout, or with one of a program that does nothing."""
    machine = machine_in(folder)
    environments = Path("terraform") / "environments"
    shutil.copytree(ROOT / environments, machine.project / environments)
    whole = ("imagesearch", "inference_service") if is_whole else ()
    for name in ("tools", "functions", *whole):
        shutil.copytree(ROOT / name, machine.project / name, ignore=COMPILED)
    # What it needs comes from the network; what it does is tried by test_docs_site.py.
    (machine.project / "tools" / "build_docs.sh").write_text("mkdir -p web/docs\n")
    for name in ("requirements.lock", "requirements-dev.lock", ".dockerignore"):
        shutil.copyfile(ROOT / name, machine.project / name)
    if not is_whole:  # to package and to hash all of ours, each time again, is most of the time
        for main in machine.project.glob("functions/*/main.py"):
            main.write_text("import imagesearch\n")
        (machine.project / "imagesearch").mkdir()
        (machine.project / "imagesearch" / "__init__.py").touch()
    subprocess.run(["git", "init", "-q"], cwd=machine.project, check=True)
    return machine


@pytest.fixture
def fresh(tmp_path: Path) -> Machine:
    """A small checkout beside a project of Google's that has nothing."""
    return checkout_in(tmp_path)


@dataclass(frozen=True)
class First:
    """A machine after its first deployment, for all tests that only look, and how that ended."""

    machine: Machine
    ended: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> First:
    machine = checkout_in(tmp_path_factory.mktemp("whole"), is_whole=True)
    ended = first_deployment(machine)
    assert ended.returncode == 0, ended.stderr
    return First(machine, ended)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    machine = checkout_in(tmp_path_factory.mktemp("small"))
    assert first_deployment(machine).returncode == 0
    return machine


@pytest.fixture
def deployed(small: Machine, tmp_path: Path) -> Machine:
    """A copy of the small one, to be changed; of what was called nothing is noted."""
    machine = machine_in(tmp_path)
    shutil.copytree(small.project, machine.project, dirs_exist_ok=True)
    shutil.copytree(small.state, machine.state, dirs_exist_ok=True)
    machine.forget()
    return machine


def first_deployment(
    machine: Machine, *arguments: str, yes: bool = True, answers: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run it, with --yes or with *answers* typed by a person who then closes the terminal."""
    script = str(machine.project / "tools" / "first_deployment.sh")
    given = ["--project=my-project-123", *(["--yes"] if yes else []), *arguments]
    secret = {"PIXABAY_API_KEY": "12345-secret", **variables}
    typed = ["bash", "-c", 'printf "%s\\n" "$0" | "$@"', answers, script, *given]
    return machine.run(typed, **secret)


def main_of(machine: Machine, environment: str = "prod") -> Path:
    return machine.project / "terraform" / "environments" / environment / "main.tf"


def applied(machine: Machine) -> list[str]:
    """Return what was applied, in order: of a plan the command that made it."""
    calls = [call for call in machine.calls if re.search(r" (plan|apply) -", call)]
    return [
        calls[at - 1] if call.endswith("/build/plan") else call
        for at, call in enumerate(calls)
        if " apply " in call
    ]


def made(calls: Sequence[str]) -> list[str]:
    return [call for call in calls if any(word in f"{call} " for word in MAKES)]


def test_an_empty_project_gets_everything_in_order(first: First) -> None:
    machine, ended = first.machine, first.ended
    kinds = [" ".join(re.findall(r"[\w-]+", call)[:4]) for call in made(machine.calls)]
    assert [kind.split(" gs")[0] for kind in kinds] == [
        "gcloud services enable cloudresourcemanager",
        "gcloud storage buckets create",
        "gcloud storage buckets update",
        "gcloud beta services identity",
        "gcloud beta services identity",
        "terraform -chdir terraform environments",
        "gcloud secrets versions add",
        "gcloud builds submit --project",
        "gcloud artifacts sbom load",
        "gcloud storage cp build",
        "gcloud storage cp build",
        "terraform -chdir terraform environments",
    ]
    before, after = applied(machine)
    assert "-target=" in before
    assert "-target=" not in after
    assert f"-var=inference_image={REPOSITORY}/inference@{DIGEST}" in after
    assert "-var=inference_profile=split " in after
    assert "environment prod, region europe-west4, profile split" in ended.stdout


def test_the_zips_are_uploaded_under_the_names_that_terraform_looks_for(first: First) -> None:
    objects = (first.machine.state / "objects").read_text().splitlines()
    for name, there in zip(("query", "fetch"), objects, strict=True):
        packed = (first.machine.project / "build" / f"{name}.zip").read_bytes()
        digest = hashlib.sha256(packed).hexdigest()
        assert there == f"gs://my-project-123-imagesearch-sources/{name}-{digest}.zip"


def test_run_again_it_makes_nothing_and_applies(deployed: Machine) -> None:
    ended = first_deployment(deployed)
    assert ended.returncode == 0, ended.stderr
    assert len(made(deployed.calls)) == 1
    (call,) = applied(deployed)
    assert call.startswith("terraform ")
    assert "-target=" not in call


def test_after_a_failed_build_it_goes_on_where_it_stopped(fresh: Machine) -> None:
    (fresh.state / "build-fails").touch()
    ended = first_deployment(fresh)
    assert ended.returncode == 1
    assert "run this again" in ended.stderr
    assert all("-target=" in call for call in applied(fresh))
    fresh.forget()
    ended = first_deployment(fresh)
    assert ended.returncode == 0, ended.stderr
    assert [call.split()[1:3] for call in made(fresh.calls) if call.startswith("gcloud")] == [
        ["beta", "services"],
        ["beta", "services"],
        ["builds", "submit"],
        ["artifacts", "sbom"],
        ["storage", "cp"],
        ["storage", "cp"],
    ]


def test_another_profile_whose_image_cannot_be_built_is_not_remembered(fresh: Machine) -> None:
    first_deployment(fresh, "--profile=gpu")
    (fresh.state / "build-fails").touch()
    assert first_deployment(fresh, "--profile=cpu").returncode == 1
    assert json.loads((fresh.state / "outputs").read_text())["inference_profile"]["value"] == "gpu"


def test_run_again_without_them_it_keeps_the_region_and_the_profile(fresh: Machine) -> None:
    first_deployment(fresh, "--region=us-east4", "--profile=cpu")
    fresh.forget()
    ended = first_deployment(fresh)
    assert ended.returncode == 0, ended.stderr
    assert len(made(fresh.calls)) == 1
    (call,) = applied(fresh)
    assert "-var=region=us-east4 " in call
    assert "-var=inference_profile=cpu " in call
    assert "region us-east4, profile cpu" in ended.stdout


def test_after_a_failed_build_it_keeps_the_region_and_the_profile_too(fresh: Machine) -> None:
    (fresh.state / "build-fails").touch()
    first_deployment(fresh, "--region=us-east4", "--profile=cpu")
    ended = first_deployment(fresh)
    assert "region us-east4, profile cpu" in ended.stdout


def test_another_region_is_refused_before_anything_is_made(deployed: Machine) -> None:
    ended = first_deployment(deployed, "--region=us-east4")
    assert ended.returncode == 2
    assert "imagesearch is deployed in europe-west4; in us-east4 all of it would" in ended.stderr
    assert made(deployed.calls) == []


def test_another_profile_is_told_with_what_it_costs_and_applied(deployed: Machine) -> None:
    ended = first_deployment(deployed, "--profile=gpu")
    assert "The profile is split now: this changes the inference services." in ended.stdout
    assert PROFILES in ended.stdout
    assert "-var=inference_profile=gpu " in applied(deployed)[-1]
    again = first_deployment(deployed, "--profile=gpu").stdout
    assert "The profile is" not in again
    assert PROFILES not in again


def test_a_person_may_answer_with_another_profile(fresh: Machine) -> None:
    ended = first_deployment(fresh, yes=False, answers="cpu")
    assert ended.returncode == 0, ended.stderr
    assert ["-var=inference_profile=cpu " in call for call in applied(fresh)] == [True, True]
    assert (fresh.state / "images").read_text().endswith("-cpu\n")


@pytest.mark.parametrize("answers", ["y", "tpu"])
def test_any_other_answer_makes_nothing(answers: str, fresh: Machine) -> None:
    ended = first_deployment(fresh, yes=False, answers=answers)
    assert ended.returncode == 1
    assert made(fresh.calls) == []


# The state's bucket


@pytest.mark.parametrize("mark", ["bucket-for-all-to-read", "name-is-taken"])
def test_a_bucket_of_somebody_else_is_not_taken_for_ours(mark: str, fresh: Machine) -> None:
    """Whoever has it could read the state and write another: whether it can be seen or not."""
    (fresh.state / mark).touch()
    ended = first_deployment(fresh)
    assert ended.returncode == 1
    name = "gs://my-project-123-imagesearch-state"
    assert f"{name} is no bucket of the project my-project-123." in ended.stderr
    assert not any(call.startswith("terraform ") for call in fresh.calls)


@pytest.mark.parametrize("mark", ["bucket", "bucket-for-all-to-read", "nothing"])
def test_buckets_that_cannot_be_listed_are_told_as_that_and_with_the_reason(
    mark: str, fresh: Machine
) -> None:
    """The bucket may be ours, and only the right to list lost, or Google out of reach."""
    for each in (mark, "unlistable"):
        (fresh.state / each).touch()
    (fresh.state / "apis").write_text("storage.googleapis.com\n")
    ended = first_deployment(fresh)
    assert ended.returncode == 1
    assert "ERROR: storage.buckets.list denied" in ended.stderr
    assert "buckets of the project my-project-123 could not be listed" in ended.stderr
    assert "is no bucket of the project" not in ended.stderr
    assert made(fresh.calls) == []


def test_a_new_project_without_the_api_to_list_buckets_has_none(fresh: Machine) -> None:
    (fresh.state / "unlistable").touch()
    assert first_deployment(fresh).returncode == 0


def test_a_bucket_that_was_taken_since_is_not_taken_for_ours_either(deployed: Machine) -> None:
    (deployed.state / "bucket").unlink()
    (deployed.state / "bucket-for-all-to-read").touch()
    assert first_deployment(deployed).returncode == 1
    assert made(deployed.calls) == []
    assert not any(call.startswith("terraform ") for call in deployed.calls)


# Rights


def targets(call: str) -> set[str]:
    return set(re.findall(r"-target=module\.imagesearch\.(\S+)", call))


def test_rights_are_granted_before_the_first_image_is_built(fresh: Machine) -> None:
    """What is built or starts after it needs them, and they take minutes to spread."""
    (fresh.state / "apply-fails").touch()
    first_deployment(fresh)
    (before,) = [call for call in applied(fresh) if "-target=" in call]
    assert "google_project_iam_member.build" in targets(before)
    assert fresh.calls.index(before) < next(
        number for number, call in enumerate(fresh.calls) if "builds submit" in call
    )
    (fresh.state / "apply-fails").unlink()
    (fresh.project / "imagesearch" / "new.py").write_text("NEW = True\n")
    fresh.forget()
    first_deployment(fresh)
    (again,) = [call for call in applied(fresh) if "-target=" in call]
    assert targets(again) == targets(before) - {"terraform_data.deployment"}


def test_what_runs_keeps_its_rights_while_another_image_is_built(deployed: Machine) -> None:
    """Another profile may take an account's rights away, and the build may fail."""
    first_deployment(deployed, "--profile=cpu")
    (before,) = [call for call in applied(deployed) if "-target=" in call]
    assert targets(before)
    assert not {one for one in targets(before) if "deployer" not in one and "_iam_" in one}


def test_a_state_that_cannot_be_read_is_no_first_deployment(fresh: Machine) -> None:
    """Else an answer that fails would bring the defaults back."""
    first_deployment(fresh, "--region=us-east4", "--profile=cpu")
    fresh.forget()
    (fresh.state / "unreadable").touch()
    ended = first_deployment(fresh)
    assert ended.returncode != 0
    assert made(fresh.calls) == []


def test_nothing_is_made_before_a_person_has_said_yes(fresh: Machine) -> None:
    ended = first_deployment(fresh, yes=False)
    assert ended.returncode == 1
    assert made(fresh.calls) == []
    assert PROFILES in ended.stdout
    assert "the bucket my-project-123-imagesearch-state" in ended.stdout
    assert "nothing was made" in ended.stderr


def test_what_is_applied_after_the_yes_is_asked_for_by_terraform(fresh: Machine) -> None:
    ended = first_deployment(fresh, yes=False, answers="yes")
    assert ended.returncode == 0, ended.stderr
    before, after = applied(fresh)
    assert " plan " in before
    assert " apply -input=false -var=" in after
    again = first_deployment(fresh, yes=False)
    assert again.returncode == 0
    assert "Go on?" not in again.stdout + again.stderr


def test_the_web_app_keeps_its_image_in_all_that_is_applied(deployed: Machine) -> None:
    outputs = json.loads((deployed.state / "outputs").read_text())
    outputs["app_image"] = {"value": "registry/app@sha256:1"}
    (deployed.state / "outputs").write_text(json.dumps(outputs))
    (deployed.project / "imagesearch" / "new.py").write_text("NEW = True\n")
    assert first_deployment(deployed).returncode == 0
    calls = applied(deployed)
    assert len(calls) == 2
    assert all("-var=app_image=registry/app@sha256:1" in call for call in calls)


def with_app(machine: Machine) -> Machine:
    main = main_of(machine)
    main.write_text(main.read_text().replace("  name  ", "  app_enabled = true\n  name  "))
    (machine.project / "app").mkdir(exist_ok=True)
    (machine.project / "app" / "main.py").write_text("APP = 1\n")
    return machine


def test_the_web_app_has_an_image_built_for_it_as_the_inference_service_has(
    deployed: Machine,
) -> None:
    assert first_deployment(with_app(deployed)).returncode == 0
    (submitted,) = [call for call in deployed.calls if "builds submit" in call]
    assert "--config=image.yaml " in submitted
    assert f"_IMAGE=app,_REPOSITORY={REPOSITORY}," in submitted
    loaded = "sbom load --project=my-project-123 --source=build/app_image"
    assert any(loaded in call for call in deployed.calls)
    prepares, rolls_out = applied(deployed)
    assert f"-var=app_image={REPOSITORY}/app@sha256:{'0' * 64}" in prepares
    assert f"-var=app_image={REPOSITORY}/app@{DIGEST}" in rolls_out
    deployed.forget()
    (deployed.project / "app" / "main.py").write_text("APP = 2\n")
    assert first_deployment(deployed).returncode == 0
    (submitted,) = [call for call in deployed.calls if "builds submit" in call]
    assert "_IMAGE=app," in submitted, "the inference service's is as it was"


# What ends data


GONE = {
    "address": "module.imagesearch.google_redis_instance.cache[0]",
    "type": "google_redis_instance",
    "change": {"actions": ["delete"]},
}


def ends_data(machine: Machine) -> None:
    (machine.state / "plan").write_text(json.dumps({"resource_changes": [GONE]}))


def test_what_would_end_what_is_stored_is_not_applied_without_a_person(deployed: Machine) -> None:
    ends_data(deployed)
    ended = first_deployment(deployed)
    assert ended.returncode == 1
    assert "google_redis_instance.cache[0]: delete, and with it the cache" in ended.stdout
    assert "With --yes that is refused, and nothing of this plan was applied" in ended.stderr
    assert applied(deployed) == []


def test_a_person_is_shown_what_would_end_and_asked_even_while_it_prepares(
    deployed: Machine,
) -> None:
    ends_data(deployed)
    (deployed.project / "imagesearch" / "new.py").write_text("NEW = True\n")
    assert first_deployment(deployed, yes=False, answers="yes").returncode == 0
    prepares, rolls_out = applied(deployed)
    assert " apply -input=false -target=" in prepares
    assert " apply -input=false -var=" in rolls_out


# What failed half way


def deploy_after_a_failed_apply(machine: Machine) -> None:
    """Deploy twice; only the second time's calls are left."""
    (machine.state / "apply-fails").touch()
    assert first_deployment(machine).returncode == 1
    (machine.state / "apply-fails").unlink()
    machine.forget()
    ended = first_deployment(machine)
    assert ended.returncode == 0, ended.stderr


def test_after_an_apply_that_failed_half_way_it_builds_nothing_anew_and_applies(
    fresh: Machine,
) -> None:
    deploy_after_a_failed_apply(fresh)
    assert [call.split()[0] for call in made(fresh.calls)] == ["terraform"]
    assert "-target=" not in applied(fresh)[0]


def test_a_roll_out_that_failed_half_way_is_gone_on_with_and_what_serves_is_held(
    deployed: Machine,
) -> None:
    """A service of the outputs may not be there: nothing is held of that."""
    serve(deployed, "imagesearch-query", "imagesearch-scorer")
    (deployed.state / "services").write_text('[{"metadata": {"name": "imagesearch-query"}}]')
    deploy_after_a_failed_apply(deployed)
    shifts = [call for call in deployed.calls if "update-traffic" in call]
    assert [call.split()[4] for call in shifts] == ["imagesearch-query"]


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ('kms_key = "projects/p/locations/l/keyRings/r/cryptoKeys/k"', "kms_key"),
        ("app_enabled = true", "app_enabled"),
    ],
)
def test_what_an_earlier_version_deployed_is_brought_up_before_anything_new_is_set(
    setting: str, named: str, deployed: Machine
) -> None:
    outputs = json.loads((deployed.state / "outputs").read_text())
    del outputs["new_revision_percent"]
    (deployed.state / "outputs").write_text(json.dumps(outputs))
    main = main_of(deployed)
    main.write_text(main.read_text().replace("  name  ", f"  {setting}\n  name  "))
    ended = first_deployment(deployed)
    assert ended.returncode == 2
    assert f"take {named} out of terraform/environments/prod/main.tf" in ended.stderr
    assert made(deployed.calls) == []


def test_a_change_of_the_code_or_the_profile_builds_another_image(deployed: Machine) -> None:
    (deployed.project / "imagesearch" / "new.py").write_text("NEW = True\n")
    first_deployment(deployed)
    first_deployment(deployed, "--profile=split")
    first_deployment(deployed, "--profile=cpu")
    images = (deployed.state / "images").read_text().splitlines()
    assert len(set(images)) == len(images) == 3


def test_the_key_reaches_the_secret_and_no_command_line(first: First) -> None:
    machine, ended = first.machine, first.ended
    assert (machine.state / "key").read_text() == "12345-secret"
    assert "12345-secret" not in ended.stdout + ended.stderr + "\n".join(machine.calls)


def test_without_a_key_it_stops_before_the_functions_that_need_it(fresh: Machine) -> None:
    ended = first_deployment(fresh, PIXABAY_API_KEY="")
    assert ended.returncode != 0
    assert not any("builds submit" in call for call in fresh.calls)


def door_commands(machine: Machine, door: str | None) -> list[str]:
    """Deploy once more with *door*, and return what was done to the service of `query`."""
    path = main_of(machine)
    kept = [line for line in path.read_text().splitlines() if "door" not in line]
    path.write_text("\n".join([*kept, f'  door = "{door}" # whose' if door else ""]))
    (machine.state / "calls").unlink(missing_ok=True)
    ended = first_deployment(machine)
    assert ended.returncode == 0, ended.stderr
    return [call for call in machine.calls if "run services update" in call]


def test_a_service_that_is_to_check_nobody_is_told_so_once_and_checks_again(
    deployed: Machine,
) -> None:
    assert door_commands(deployed, None) == []
    [opened] = door_commands(deployed, "everyone_unchecked")
    assert "update imagesearch-query --no-invoker-iam-check --region=europe-west4" in opened
    assert deployed.calls.index(opened) > max(
        number for number, call in enumerate(deployed.calls) if " apply " in call
    )
    assert door_commands(deployed, "everyone_unchecked") == []
    [closed] = door_commands(deployed, "iap")
    assert " --invoker-iam-check " in closed, "or whoever comes past IAP is let in"


def test_who_calls_for_people_that_sign_in_is_made_before_it_is_granted_anything(
    deployed: Machine,
) -> None:
    door_commands(deployed, "iap")
    calls = deployed.calls
    agents = [call for call in calls if "identity create" in call]
    assert [re.findall(r"--service=(\w+)", call) for call in agents] == [["iap"], ["monitoring"]]
    [apply] = [call for call in calls if " apply " in call]
    assert calls.index(agents[-1]) < calls.index(apply)
    [enabled] = [call for call in calls if "services enable" in call]
    assert calls.index(enabled) < calls.index(agents[0])
    assert "iap.googleapis.com" in enabled


def test_who_encrypts_with_a_key_of_ones_own_is_made_before_it_is_granted_the_key(
    fresh: Machine,
) -> None:
    key = "projects/p/locations/europe-west4/keyRings/r/cryptoKeys/k"
    with main_of(fresh).open("a") as main:
        main.write(f'  kms_key = "{key}"\n  memorystore_enabled = true\n')
    assert first_deployment(fresh).returncode == 0
    calls = fresh.calls
    first_apply = next(number for number, call in enumerate(calls) if " apply " in call)
    agents = [call for call in calls[:first_apply] if "identity create" in call]
    made = {found for call in agents for found in re.findall(r"--service=(\w+)", call)}
    text = (ROOT / "terraform" / "kms_key.tf").read_text()
    granted = set(re.findall(r"(?m)^ +(\w+) += (?:\"service|local.pubsub)|\{ (\w+) = \"", text))
    names = {name for pair in granted for name in pair if name}
    assert names - made == {"sqladmin"}, "and there is no PostgreSQL"


@pytest.mark.parametrize(
    ("sources", "is_asked_for"),
    [('["commons", "openverse"]', False), ('["pixabay", "commons"]', True)],
)
def test_a_key_is_asked_for_where_pixabay_is_a_source(
    fresh: Machine, sources: str, is_asked_for: bool
) -> None:
    with main_of(fresh).open("a") as main:
        main.write(f"  image_sources  = {sources}\n")
    ended = first_deployment(fresh)
    assert ended.returncode == 0, ended.stderr
    assert (fresh.state / "key").exists() == is_asked_for
    assert any("builds submit" in call for call in fresh.calls)
    fresh.forget()
    first_deployment(fresh)
    assert not any("target=" in call for call in fresh.calls), "what is prepared is kept"


# The traffic


def serve(machine: Machine, *services: str) -> None:
    """Have the state name *services*, each of which there is."""
    outputs = json.loads((machine.state / "outputs").read_text())
    shifts = {
        "services": services,
        "new_revision_percent": 10,
        "settings": {"GOOGLE_CLOUD_PROJECT": "my-project-123"},
    }
    kept = {name: {"value": value} for name, value in shifts.items()}
    (machine.state / "outputs").write_text(json.dumps({**outputs, **kept}))
    named = [{"metadata": {"name": each}} for each in services]
    (machine.state / "services").write_text(json.dumps(named))


def test_what_serves_is_held_until_all_that_is_new_is_there(deployed: Machine) -> None:
    serve(deployed, "imagesearch-query")
    assert first_deployment(deployed).returncode == 0
    (held,) = [at for at, call in enumerate(deployed.calls) if "--to-revisions=a=100" in call]
    assert " plan " in deployed.calls[held + 1]


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_where_the_scorer_is_deleted_nothing_that_calls_it_goes_on_serving(
    deployed: Machine, profile: str
) -> None:
    """Held, the query function would call it until the apply is over and traffic is shared."""
    serve(deployed, "imagesearch-query")
    held = {"status": {"traffic": [{"revisionName": "a", "percent": 100}]}}
    (deployed.state / "traffic").write_text(json.dumps(held))
    assert first_deployment(deployed, f"--profile={profile}").returncode == 0
    shifts = [call for call in deployed.calls if "update-traffic" in call]
    assert shifts
    assert all(" --to-latest " in call for call in shifts)
    planned = max(at for at, call in enumerate(deployed.calls) if " plan " in call)
    assert deployed.calls.index(shifts[0]) < planned


def test_a_first_deployment_has_no_traffic_to_hold(first: First) -> None:
    printed = first.ended.stdout.splitlines()
    shifts = [line for line in printed if "tools.roll_out" in line]
    assert shifts == ["+ python3 -m tools.roll_out share --environment=prod"]
    applied = next(
        at for at, line in enumerate(printed) if " apply " in line and "-target" not in line
    )
    assert applied < printed.index(shifts[0])


# Environments


def test_another_environment_has_a_state_a_registry_and_a_key_of_its_own(fresh: Machine) -> None:
    ended = first_deployment(fresh, "--environment=dev")
    assert ended.returncode == 0, ended.stderr
    calls = made(fresh.calls)
    applies = applied(fresh)
    assert len(applies) == 2
    assert all("-chdir=terraform/environments/dev " in call for call in applies)
    assert all("-var=state_bucket=my-project-123-imagesearch-dev-state" in one for one in applies)
    assert any("secrets versions add imagesearch-dev-pixabay-key" in call for call in calls)
    (submitted,) = [call for call in calls if "builds submit" in call]
    assert "my-project-123/imagesearch-dev," in submitted
    assert "_ENVIRONMENT=dev" in submitted
    assert "/imagesearch-dev-deployer@" in submitted
    others = re.findall(r"imagesearch-(?!dev)\w+", "\n".join(calls))
    assert not others


def test_an_environment_that_is_none_is_named_with_those_that_are(fresh: Machine) -> None:
    ended = first_deployment(fresh, "--environment=staging")
    assert ended.returncode == 2
    assert "--environment must be one of dev prod, got staging" in ended.stderr
    assert fresh.calls == []


def test_settings_where_they_were_before_are_not_passed_over(fresh: Machine) -> None:
    (fresh.project / "terraform" / "terraform.tfvars").write_text('domain = "example.com"\n')
    ended = first_deployment(fresh)
    assert ended.returncode == 2
    assert "terraform/environments/prod/main.tf" in ended.stderr
    assert fresh.calls == []


@pytest.mark.parametrize("since", ["sources_bucket", "new_revision_percent"])
def test_what_an_earlier_version_deployed_moves_whole(deployed: Machine, since: str) -> None:
    """Terraform refuses to move a part of a state: nothing is targeted before all has moved."""
    outputs = json.loads((deployed.state / "outputs").read_text())
    del outputs[since]
    (deployed.state / "outputs").write_text(json.dumps(outputs))
    (deployed.project / "imagesearch" / "new.py").write_text("NEW = True\n")
    assert first_deployment(deployed).returncode == 0
    moves, prepares, rolls_out = applied(deployed)
    assert "-target=" not in moves
    assert outputs["inference_image"]["value"] in moves
    assert "-target=" in prepares
    assert "-target=" not in rolls_out


def test_a_dry_run_calls_nothing_and_prints_the_first_deployment(fresh: Machine) -> None:
    ended = first_deployment(fresh, "--dry-run")
    assert ended.returncode == 0, ended.stderr
    assert fresh.calls == []
    printed = [line for line in ended.stdout.splitlines() if line.startswith("+ ")]
    assert len(made(printed)) == 11
    assert "12345-secret" not in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--project="], "unknown argument: --project="),
        (["--profile=tpu"], "unknown argument: --profile=tpu"),
        (["my-project"], "unknown argument: my-project"),
    ],
)
def test_a_bad_argument_is_named_with_the_usage(
    arguments: list[str], message: str, fresh: Machine
) -> None:
    ended = first_deployment(fresh, *arguments)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Usage: tools/first_deployment.sh --project=ID" in ended.stderr
    assert fresh.calls == []


def test_missing_credentials_of_terraform_are_told_with_the_command(fresh: Machine) -> None:
    (fresh.state / "no-credentials").touch()
    ended = first_deployment(fresh)
    assert ended.returncode == 1
    assert "gcloud auth application-default login" in ended.stderr
    assert made(fresh.calls) == []


def test_for_an_attestation_the_image_is_built_anew_while_the_api_is_on(deployed: Machine) -> None:
    """Cloud Build attests no image of before."""
    text = main_of(deployed).read_text()
    main_of(deployed).write_text(text.replace("  name  ", "  binary_authorization = {}\n  name  "))
    assert first_deployment(deployed).returncode == 0
    enabled, submitted = (
        next(number for number, call in enumerate(deployed.calls) if words in call)
        for words in (" binaryauthorization.googleapis.com", " builds submit ")
    )
    assert enabled < submitted
