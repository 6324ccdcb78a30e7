"""tools/check_plan.py: what the deployer lets pass, over true plans of Terraform's.

The deployment that they change is made by `tests/plans.py`. What Terraform cannot be brought to
plan without Google is written here in its documented format: what only an apply decides, and what
is sensitive.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.plans import Deployment, deployment
from tests.terraform import ROOT
from tools.check_plan import (
    ROLLED_OUT,
    STORES,
    WRITTEN_BY_GOOGLE,
    ended_data,
    main,
    structural_changes,
)

NEW_IMAGE = f"registry.example.com/inference@sha256:{'1' * 64}"
NEW_CODE = {
    "inference_image": NEW_IMAGE,
    "function_archives": {"query": "new.zip", "fetch": "new.zip"},
}
INFERENCE = 'google_cloud_run_v2_service.inference["inference"]'
SCORER = 'google_cloud_run_v2_service.inference["scorer"]'
QUERY = "google_cloudfunctions2_function.query"
FETCH = "google_cloudfunctions2_function.fetch"


@pytest.fixture(scope="module")
def deployed() -> Iterator[Deployment]:
    with deployment("braked") as found:
        found.add_archive("new.zip", b"other code")
        yield found


def changed(plan: Mapping[str, Any]) -> dict[str, str]:
    """Return what *plan* does, and to what."""
    return {
        one["address"]: " and ".join(one["change"]["actions"])
        for one in plan["resource_changes"]
        if one["change"]["actions"] not in (["no-op"], ["read"])
    }


def test_region_and_profile_are_kept_of_an_apply_that_made_nothing_else(
    deployed: Deployment,
) -> None:
    """A first deployment that fails half way is gone on with where it was begun."""
    outputs = json.loads(deployed.terraform("output", "-json"))
    kept = {name: one["value"] for name, one in outputs.items()}
    assert kept == {"region": "europe-west4", "inference_profile": "split"}


# What may pass


@contextmanager
def pinned(there: Deployment) -> Iterator[None]:
    """Have gcloud send all traffic of one service and of one function to revisions by names."""
    path = there.folder / "terraform.tfstate"
    text = path.read_text()
    state = json.loads(text)
    shifted = 0
    for resource in state["resources"]:
        for instance in resource["instances"]:
            which = (resource["type"], resource["name"], instance.get("index_key"))
            if which == ("google_cloud_run_v2_service", "inference", "inference"):
                kind = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
                named = {"percent": 100, "revision": "a", "tag": None, "type": kind}
                instance["attributes"]["traffic"] = [named]
                shifted += 1
            if which == ("google_cloudfunctions2_function", "query", None):
                (config,) = instance["attributes"]["service_config"]
                config["all_traffic_on_latest_revision"] = False
                shifted += 1
    assert shifted == 2
    path.write_text(json.dumps(state))
    try:
        yield
    finally:
        path.write_text(text)


@pytest.fixture(scope="module")
def rolled_out(deployed: Deployment) -> dict[str, Any]:
    """The plan of new code, where the traffic of half of the services was shifted."""
    with pinned(deployed):
        return deployed.plan(**NEW_CODE)


def test_a_new_image_and_new_zips_are_a_roll_out(rolled_out: dict[str, Any]) -> None:
    """And nothing else is planned: what is planned over is settled."""
    assert changed(rolled_out) == dict.fromkeys((INFERENCE, SCORER, QUERY, FETCH), "update")
    assert structural_changes(rolled_out) == []


def test_traffic_that_was_shifted_is_no_drift_and_is_sent_back_as_it_is(
    rolled_out: dict[str, Any],
) -> None:
    changes = {one["address"]: one["change"] for one in rolled_out["resource_changes"]}
    for address in (INFERENCE, SCORER):
        assert changes[address]["after"]["traffic"] == changes[address]["before"]["traffic"]
    assert changes[INFERENCE]["after"]["traffic"][0]["revision"] == "a"
    for when in ("before", "after"):
        (config,) = changes[QUERY][when]["service_config"]
        assert config["all_traffic_on_latest_revision"] is False
        (config,) = changes[FETCH][when]["service_config"]
        assert config["all_traffic_on_latest_revision"] is not False


def test_a_plan_without_changes_is_a_roll_out_of_nothing() -> None:
    assert structural_changes({}) == []


# What may not

# A file, what is there, what is put there, and what is then said. "…" stands for an account that
# the mocks made up, and for a default.
PLANTED = [
    (
        "inference_service.tf",
        '= "INGRESS_TRAFFIC_ALL"',
        '= "INGRESS_TRAFFIC_INTERNAL_ONLY"',
        f'{INFERENCE}: ingress: "INGRESS_TRAFFIC_ALL" → "INGRESS_TRAFFIC_INTERNAL_ONLY"',
    ),
    (
        "inference_service.tf",
        "= google_service_account.inference[each.key].email",
        '= "other@example.com"',
        f'{INFERENCE}: template[0].service_account: … → "other@example.com"',
    ),
    (
        "inference_service.tf",
        "merge(local.settings, each.value.settings)",
        'merge(local.settings, each.value.settings, { EDITION = "embedded", A_NEW_ONE = "1" })',
        f'{INFERENCE}: template[0].containers[0].env["EDITION"].value: "cloud" → "embedded"',
    ),
    (
        "inference_service.tf",
        '["nvidia-l4"]',
        '["nvidia-rtx-pro-6000"]',
        f"{INFERENCE}: template[0].node_selector[0].accelerator:"
        ' "nvidia-l4" → "nvidia-rtx-pro-6000"',
    ),
    (
        "inference_service.tf",
        '"nvidia.com/gpu" = "1"',
        '"nvidia.com/gpu" = "2"',
        f'{INFERENCE}: template[0].containers[0].resources[0].limits.nvidia.com/gpu: "1" → "2"',
    ),
    (
        "inference_service.tf",
        "= var.instances[each.key].max",
        "= 50",
        f"{INFERENCE}: template[0].scaling[0].max_instance_count: … → 50",
    ),
    (
        "functions.tf",
        '= var.domain == null ? "ALLOW_ALL" : "ALLOW_INTERNAL_AND_GCLB"',
        '= "ALLOW_INTERNAL_AND_GCLB"',
        f'{QUERY}: service_config[0].ingress_settings: "ALLOW_ALL" → "ALLOW_INTERNAL_AND_GCLB"',
    ),
    (
        "functions.tf",
        "= google_service_account.query.email",
        '= "other@example.com"',
        f'{QUERY}: service_config[0].service_account_email: … → "other@example.com"',
    ),
    (
        "functions.tf",
        "THREADS                  = tostring(local.functions.fetch.concurrency)",
        'THREADS                  = "1"',
        f'{FETCH}: service_config[0].environment_variables.THREADS: "16" → "1"',
    ),
    (
        "functions.tf",
        "version = var.pixabay_key_version",
        'version = "7"',
        f'{FETCH}: service_config[0].secret_environment_variables["PIXABAY_API_KEY"].version:'
        ' "latest" → "7"',
    ),
    (
        "functions.tf",
        "= local.most_fetchers",
        "= 99",
        f"{FETCH}: service_config[0].max_instance_count: … → 99",
    ),
    (
        "functions.tf",
        '  role     = "roles/run.invoker"\n  member   = google_service_account.push.member',
        '  role     = "roles/run.invoker"\n  member   = "allUsers"',
        "google_cloud_run_v2_service_iam_member.push_calls_fetch: update",
    ),
    (
        "topics.tf",
        "",
        'resource "google_pubsub_topic" "more" {\n  name = "more"\n}\n',
        "google_pubsub_topic.more: create",
    ),
]


# A container before the scorer's own.
OWN_CONTAINER = "    containers {\n      image = var.inference_image\n"
SECOND_CONTAINER = """    dynamic "containers" {
      for_each = each.key == "scorer" ? ["registry.example.com/other:1"] : []
      content {
        image = containers.value
      }
    }
"""


@pytest.fixture(scope="module")
def found(deployed: Deployment) -> list[str]:
    """What is said of a plan with all of PLANTED, a second container, and new code."""
    edits = [edit[:3] for edit in PLANTED]
    edits += [("inference_service.tf", OWN_CONTAINER, SECOND_CONTAINER + OWN_CONTAINER)]
    with ExitStack() as stack:
        for file, was, becomes in edits:
            stack.enter_context(deployed.edited(file, was, becomes))
        return structural_changes(deployed.plan(**NEW_CODE))


@pytest.fixture(scope="module")
def planted(found: list[str]) -> list[str]:
    """What is said of PLANTED; the scorer has the same, and the container."""
    return [
        re.sub(r'(account(_email)?: )"\w+"|(max_instance_count: )\d+', r"\1\3…", line)
        for line in found
        if not line.startswith(f"{SCORER}: ")
    ]


@pytest.mark.parametrize("said", [said for *_, said in PLANTED])
def test_a_setting_that_changes_is_named_with_what_it_was_and_becomes(
    said: str, planted: list[str]
) -> None:
    assert said in planted


def test_nothing_else_is_named_and_above_all_not_the_code(planted: list[str]) -> None:
    (new,) = set(planted) - {said for *_, said in PLANTED}
    assert new.startswith(f'{INFERENCE}: template[0].containers[0].env["A_NEW_ONE"]: (absent) → {{')
    assert len(planted) == len(set(planted))


@pytest.fixture(scope="module")
def without_memorystore(deployed: Deployment) -> dict[str, Any]:
    return deployed.plan(**NEW_CODE, memorystore_enabled=False)


def test_what_is_taken_away_is_named(without_memorystore: dict[str, Any]) -> None:
    named = structural_changes(without_memorystore)
    actions = changed(without_memorystore)
    assert "google_redis_instance.cache[0]: delete" in named
    assert "google_secret_manager_secret_iam_member.deployer_reads_redis_auth[0]: delete" in named
    deleted = {f"{address}: delete" for address, action in actions.items() if action == "delete"}
    assert deleted <= set(named)
    gone = f'{INFERENCE}: template[0].containers[0].env["REDIS_AUTH_STRING"]: {{'
    assert [line for line in named if line.startswith(gone) and line.endswith("→ (absent)")] == [
        line for line in named if "REDIS_AUTH_STRING" in line and line.startswith(INFERENCE)
    ]
    assert [line for line in named if line.startswith(f"{INFERENCE}: template[0].vpc_access[0]: ")]


def test_a_second_container_is_no_roll_out_of_the_first(found: list[str]) -> None:
    assert [line for line in found if line.startswith(f"{SCORER}: template[0].containers[1]: ")]


def update(kind: str, before: object, after: object, **marks: object) -> dict[str, Any]:
    change = {"actions": ["update"], "before": before, "after": after, **marks}
    return {"resource_changes": [{"address": f"{kind}.this", "type": kind, "change": change}]}


SERVICE = "google_cloud_run_v2_service"
FUNCTION = "google_cloudfunctions2_function"


@pytest.mark.parametrize(
    ("kind", "actions"),
    [
        (SERVICE, ["delete", "create"]),
        (SERVICE, ["create"]),
        (SERVICE, ["forget"]),
        (FUNCTION, ["delete"]),
        ("google_project_iam_member", ["create", "delete"]),
    ],
)
def test_what_is_made_anew_or_let_go_is_no_roll_out(kind: str, actions: list[str]) -> None:
    plan = update(kind, {}, {})
    plan["resource_changes"][0]["change"]["actions"] = actions
    assert structural_changes(plan) == [f"{kind}.this: {' and '.join(actions)}"]


# What is stored


@pytest.mark.parametrize("actions", [["delete"], ["delete", "create"], ["create", "delete"]])
@pytest.mark.parametrize("kind", sorted(STORES))
def test_a_plan_that_ends_what_is_stored_is_told_with_what_goes(
    kind: str, actions: list[str]
) -> None:
    plan = update(kind, {}, {})
    assert ended_data(plan) == []
    plan["resource_changes"][0]["change"]["actions"] = actions
    (told,) = ended_data(plan)
    assert told == f"{kind}.this: {' and '.join(actions)}, and with it {STORES[kind]}"


def test_a_secret_whose_old_version_stays_may_be_made_anew_unseen() -> None:
    kind = "google_secret_manager_secret_version"
    plan = update(kind, {"deletion_policy": "ABANDON"}, {})
    plan["resource_changes"][0]["change"]["actions"] = ["delete", "create"]
    assert ended_data(plan) == []
    plan["resource_changes"][0]["change"]["before"] = {"deletion_policy": "DELETE"}
    assert len(ended_data(plan)) == 1


def test_what_is_made_again_by_the_same_apply_is_no_data() -> None:
    plan = update(SERVICE, {}, {})
    plan["resource_changes"][0]["change"]["actions"] = ["delete", "create"]
    assert ended_data(plan) == []


def test_memorystore_that_is_taken_away_is_seen_in_a_plan_of_terraforms(
    without_memorystore: dict[str, Any],
) -> None:
    ended = ended_data(without_memorystore)
    assert [one.partition(":")[0] for one in ended] == [
        "google_redis_instance.cache[0]",
        "google_secret_manager_secret.redis_auth[0]",
    ]


@pytest.mark.parametrize(("actions", "status"), [(["delete"], 1), (["update"], 0)])
def test_whether_data_ends_is_the_exit_status(
    actions: list[str],
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan = update("google_storage_bucket", {}, {})
    plan["resource_changes"][0]["change"]["actions"] = actions
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    monkeypatch.setattr("sys.argv", ["check_plan", "--data", str(tmp_path / "plan.json")])
    if status:
        with pytest.raises(SystemExit, match="1"):
            main()
        assert "google_storage_bucket.this: delete" in capsys.readouterr().out
    else:
        main()
        assert capsys.readouterr().out == ""


def test_what_google_writes_may_be_unknown_and_what_is_configured_may_not() -> None:
    """A setting that is decided while the plan is applied is one that nobody has seen."""
    template = {"service_account": "old", "containers": [{"image": "old"}]}
    plan = update(
        SERVICE,
        {"etag": "1", "uri": "https://x", "conditions": [{"type": "a"}], "template": [template]},
        {"uri": "https://x", "template": [{"containers": [{"image": "new"}]}]},
        after_unknown={
            "etag": True,
            "conditions": True,
            "template": [{"service_account": True, "containers": [{}]}],
        },
    )
    assert structural_changes(plan) == [
        f'{SERVICE}.this: template[0].service_account: "old" → (known after apply)'
    ]


@pytest.mark.parametrize(
    ("before_sensitive", "after_sensitive"),
    [(True, True), (True, False), (False, True)],
)
def test_a_sensitive_value_is_compared_and_never_told(
    before_sensitive: bool, after_sensitive: bool
) -> None:
    def settings(value: str) -> dict[str, Any]:
        return {"service_config": [{"environment_variables": {"A": value, "B": "same"}}]}

    def mask(whole: bool) -> dict[str, Any]:
        return {"service_config": [{"environment_variables": whole or {"A": True}}]}

    marks = {"before_sensitive": mask(before_sensitive), "after_sensitive": mask(after_sensitive)}
    (said,) = structural_changes(update(FUNCTION, settings("s3cret"), settings("0ther"), **marks))
    assert said.startswith(f"{FUNCTION}.this: service_config[0].environment_variables")
    assert said.endswith(": (sensitive)")
    assert "s3cret" not in said
    assert "0ther" not in said
    same = settings("s3cret")
    if before_sensitive == after_sensitive:
        assert structural_changes(update(FUNCTION, same, same, **marks)) == []


def test_blocks_in_another_order_are_the_same() -> None:
    variables = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]

    def template(env: list[dict[str, str]]) -> dict[str, Any]:
        return {"template": [{"containers": [{"image": "x", "env": env}]}]}

    turned = template(list(reversed(variables)))
    assert structural_changes(update(SERVICE, template(variables), turned)) == []


@pytest.mark.parametrize(("nothing", "other"), [(None, []), ([], None), (None, {}), ({}, None)])
def test_a_block_that_is_left_out_is_the_same_however_it_is_written(
    nothing: object, other: object
) -> None:
    assert structural_changes(update(SERVICE, {"scaling": nothing}, {"scaling": other})) == []
    assert structural_changes(update(SERVICE, {"scaling": nothing}, {"scaling": [{}]})) != []


# The two lists


def test_what_may_be_rolled_out_is_what_the_deployer_has_rights_on() -> None:
    text = (ROOT / "terraform" / "deployer.tf").read_text()
    granted = set(re.findall(r'^resource "(google_cloud\w+)_iam_member"', text, re.MULTILINE))
    assert granted == set(ROLLED_OUT) == set(WRITTEN_BY_GOOGLE)


def test_what_stores_is_what_terraform_makes() -> None:
    text = "".join(file.read_text() for file in (ROOT / "terraform").glob("*.tf"))
    assert set(STORES) <= set(re.findall(r'^resource "(\w+)"', text, re.MULTILINE))


def test_both_lists_name_what_the_provider_has_and_only_google_writes(
    deployed: Deployment,
) -> None:
    schemas = json.loads(deployed.terraform("providers", "schema", "-json"))["provider_schemas"]
    (google,) = (one for name, one in schemas.items() if name.endswith("/google"))
    for kind, attributes in ROLLED_OUT.items():
        found = dict(attributes_of(google["resource_schemas"][kind]["block"]))
        assert attributes <= set(found)
        for attribute in WRITTEN_BY_GOOGLE[kind]:
            schema = found[attribute]
            assert schema["computed"], attribute
            assert not schema.get("optional"), attribute


def attributes_of(block: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each attribute of *block*, with the names of the blocks that it is in."""
    for name, attribute in block.get("attributes", {}).items():
        yield f"{path}{name}", attribute
    for name, nested in block.get("block_types", {}).items():
        yield from attributes_of(nested["block"], f"{path}{name}.")
