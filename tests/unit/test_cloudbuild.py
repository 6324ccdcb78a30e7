"""cloudbuild.yaml: sound as Cloud Build reads it, and of the same words as Terraform.

What Cloud Build knows is its documented schema. What the steps do is in `test_cloudbuild_steps.py`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.pin_images import PINNED

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ["cloudbuild.yaml", "drift.yaml", "update.yaml", "image.yaml"]

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
    loaded: dict[str, Any] = yaml.load((ROOT / config).read_bytes(), yaml.CSafeLoader)
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
def test_every_image_has_a_tag_that_is_not_the_latest_and_a_digest(config: str) -> None:
    for step in build(config)["steps"]:
        match = PINNED.fullmatch(step["name"])
        assert match, step["name"]
        assert match["tag"] != "latest"


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ("cloudbuild.yaml", "planner"),
        ("drift.yaml", "deployer"),  # the planner may not look at what is there
        ("update.yaml", "updater"),  # it runs what others published a day ago
        ("image.yaml", "deployer"),
    ],
)
def test_without_a_trigger_a_build_has_the_least_rights_that_it_can_do_with(
    config: str, name: str
) -> None:
    """A trigger's own account goes before the one that is named in the file."""
    found = build(config)
    files = ("deployer.tf", "updates.tf")
    terraform = "".join((ROOT / "terraform" / file).read_text() for file in files)
    assert f'account_id   = "${{local.name}}-{name}"' in terraform
    account = f"{terraform_name()}-{name}@$PROJECT_ID.iam.gserviceaccount.com"
    assert found["serviceAccount"] == f"projects/$PROJECT_ID/serviceAccounts/{account}"


@each_config
def test_a_build_logs_where_one_with_an_account_of_ours_must(config: str) -> None:
    found = build(config)
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


LONG = ("test", "image", "push", "app-image", "app-push")


def test_what_takes_long_waits_for_nothing_but_what_is_deployed() -> None:
    assert steps()["deployment"]["waitFor"] == steps()["package"]["waitFor"] == ["-"]
    assert all(steps()[each]["waitFor"] == ["deployment"] for each in LONG)


def test_nothing_is_deployed_before_every_check_has_passed() -> None:
    before: dict[str, set[str]] = {}
    for name, step in steps().items():
        waits = set(step["waitFor"]) - {"-"}
        before[name] = waits.union(*(before[one] for one in waits))
    checks = {
        "app-image",
        "app-push",
        "deployment",
        "image",
        "package",
        "plan",
        "push",
        "terraform-test",
        "test",
    }
    assert before["check-plan"] == checks
    assert "check-plan" in before["hold"], "what is refused leaves the traffic as it was"
    assert "hold" in before["plan-held"]
    assert {"plan-held", "check-held"} <= before["upload"]
    assert "upload" in before["apply"]
    assert "apply" in before["share"]
    # These write the lock file of Terraform's providers, or read it.
    assert "deployment" in before["terraform-test"]
    assert "terraform-test" in before["plan"]


@each_config
def test_the_files_that_the_steps_run_exist(config: str) -> None:
    for step in build(config)["steps"]:
        command = " ".join([*step.get("args", []), step.get("script", "")])
        named = re.findall(r"\bsh,? (tools/\w+\.sh)\b", command)
        named += re.findall(r"--config=(\S+)", command)
        named += [
            f"{module.replace('.', '/')}.py"
            for module in re.findall(r"python3? -m ([\w.]+)", step.get("script", ""))
        ]
        assert [name for name in named if not (ROOT / name).is_file()] == []


def test_what_is_deployed_was_pushed_by_the_build_that_made_it_and_so_has_provenance() -> None:
    """Of what a step pushes, Cloud Build makes none; without it this build fails."""
    image = build("image.yaml")
    assert image["images"] == ["${_REPOSITORY}/${_IMAGE}:${_TAG}"]
    assert image["options"]["requestedVerifyOption"] == "VERIFIED"
    for config in CONFIGS:
        for step in build(config)["steps"]:
            assert not re.search(r"docker push|--push", step.get("script", "")), step["id"]
    for script in (ROOT / "tools").glob("*image*.sh"):
        assert "--push" not in script.read_text(), script


def test_the_contents_that_are_kept_are_those_of_the_image_that_is_pushed() -> None:
    image = steps("image.yaml")
    (pushed,) = build("image.yaml")["images"]
    assert f"docker:{pushed}" in image["contents"]["args"]
    (written,) = [one for one in image["contents"]["args"] if one.startswith("spdx-json=")]
    assert written == f"spdx-json=/workspace/{image['keep-contents']['args'][3]}"
    script = (ROOT / "tools" / "submit_image.sh").read_text()
    kept = image["keep-contents"]["args"][-1].replace("${_SOURCES_BUCKET}", "$sources_bucket")
    kept = kept.replace("${_IMAGE}", "$image").replace("${_TAG}", "$tag")
    assert f'"{kept}"' in script


# The words shared with Terraform


def terraform_name() -> str:
    prod = ROOT / "terraform" / "environments" / "prod" / "main.tf"
    match = re.search(r'^  name += "([a-z-]+)"', prod.read_text(), re.M)
    assert match
    return match[1]


def declared(kind: str) -> set[str]:
    text = "\n".join(path.read_text() for path in (ROOT / "terraform").glob("*.tf"))
    return {
        ".".join(re.findall(r'"(\w+)"', line))
        for line in re.findall(rf'^{kind} ("\w+"(?: "\w+")?) {{', text, re.M)
    }


@pytest.mark.parametrize(
    "file", ["tools/plan_roll_out.sh", "drift.yaml", "tools/first_deployment.sh"]
)
def test_the_variables_and_resources_that_are_named_are_declared(file: str) -> None:
    text = (ROOT / file).read_text()
    variables = set(re.findall(r'-var="?(\w+)=', text))
    assert {"project_id", "region", "state_bucket", "inference_profile"} <= variables
    assert variables <= declared("variable")
    assert set(re.findall(r"-target=module\.imagesearch\.(\S+)", text)) <= declared("resource")
    assert text.count("-target=") == text.count("-target=module.imagesearch.")


def test_buckets_repository_and_secret_are_called_as_in_terraform() -> None:
    name = terraform_name()
    files = {path.name: path.read_text() for path in (ROOT / "terraform").glob("*.tf")}
    assert '"${var.project_id}-${local.name}-sources"' in files["function_sources.tf"]
    assert '"${name}-${filesha256(path)}.zip"' in files["function_sources.tf"]
    assert "repository_id = local.name" in files["registry.tf"]
    assert 'secret_id = "${local.name}-pixabay-key"' in files["pixabay_key.tf"]
    script = (ROOT / "tools" / "first_deployment.sh").read_text()
    assert "sources_bucket=$project-$name-sources" in script
    assert "repository=$region-docker.pkg.dev/$project/$name" in script
    assert "key_secret=$name-pixabay-key" in script
    assert "gs://$(cat build/sources_bucket)/" in steps()["upload"]["script"]
    default = build("cloudbuild.yaml")["substitutions"]["_STATE_BUCKET"]
    assert default == f"${{PROJECT_ID}}-{name}-state"
    assert "state_bucket=$project-$name-state" in script
