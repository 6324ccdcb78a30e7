"""Deployments beside each other: `terraform/` as a module, and what calls it in `environments/`."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.plans import Deployment, deployment
from tests.terraform import IMAGE, PROJECT, RUNS, TERRAFORM, Applied, applied

ENVIRONMENTS = TERRAFORM / "environments"
NAMES = Path(__file__).with_name("terraform_names.json")
# What Google knows a resource by, within its kind; grants are of what they are on, and a
# database, a user and an objective are called within what they are of.
CALLED_BY = ("name", "account_id", "secret_id", "repository_id", "role_id", "service_id")
WITHIN_OTHERS = ("google_monitoring_slo", "google_sql_database", "google_sql_user")


def names(one: Applied) -> dict[str, str]:
    """Return what each resource is called, by its address; the mocks' words are none of ours."""
    known = {resource.address for resource in one.resources}
    found = {}
    for resource in one.resources:
        if "_iam_" in resource.type and not resource.type.endswith("_custom_role"):
            continue
        for attribute in CALLED_BY:
            value = resource.values.get(attribute)
            if isinstance(value, str) and resource.type not in WITHIN_OTHERS:
                found[resource.address] = value
    assert known
    return found


def test_a_deployment_of_before_there_were_names_keeps_all_of_its_own() -> None:
    """A resource that is called otherwise is another one: made anew, without its data."""
    found = {one.address: one.values for one in applied("full").resources}
    for address, name in json.loads(NAMES.read_text()).items():
        assert name in found[address].values(), address


# Two in one project: a name and a domain apart, they are the same.
SIDE_BY_SIDE = ("full", "beside")


def test_two_in_one_project_have_no_name_in_common() -> None:
    one, other = (names(applied(each)) for each in SIDE_BY_SIDE)
    assert set(one) == set(other)
    kinds = {re.sub(r"\..*", "", address) for address in one}
    for kind in kinds:
        of_one = {name for address, name in one.items() if address.startswith(f"{kind}.")}
        of_other = {name for address, name in other.items() if address.startswith(f"{kind}.")}
        assert of_one.isdisjoint(of_other), kind


SERVICES = ("query", "fetch", "inference", "scorer", "app")


def test_of_two_each_looks_at_its_own_alone() -> None:
    """Alerts, charts, exclusions: what names the one's services names none of the other's."""
    for called, own, others in (
        ("full", "imagesearch", "imagesearch-dev"),
        ("beside", "imagesearch-dev", "imagesearch"),
    ):
        found = 0
        for resource in applied(called).of(
            "monitoring_alert_policy",
            "monitoring_dashboard",
            "monitoring_slo",
            "logging_metric",
            "logging_project_exclusion",
        ):
            said = json.dumps(resource.values)
            services = {f"{others}-{each}" for each in SERVICES}
            service = rf"\bimagesearch(?:-dev)?-(?:{'|'.join(SERVICES)})\b"
            named = set(re.findall(service, said))
            assert not named & services, resource.address
            assert "imagesearch-.*" not in said, resource.address
            found += bool(named)
        assert found > 10, own


def test_messages_of_one_go_to_topics_of_its_own() -> None:
    for called, prefix in zip(SIDE_BY_SIDE, (None, "imagesearch-dev-"), strict=True):
        made = applied(called)
        for function in ("query", "fetch"):
            (config,) = made[f"google_cloudfunctions2_function.{function}"]["service_config"]
            assert config["environment_variables"].get("TOPIC_PREFIX") == prefix
        topics = {one.values["name"] for one in made.of("pubsub_topic")}
        assert f"{prefix or ''}fetch-jobs" in topics
        assert all(name.startswith(prefix or "") for name in topics)


# The roots


GIVEN: Mapping[str, object] = {  # by the scripts
    "project_id": PROJECT,
    "region": "europe-west4",
    "state_bucket": RUNS["full"]["state_bucket"],
    "inference_profile": "split",
    "inference_image": IMAGE,
}
OWN = {key: value for key, value in RUNS["full"].items() if key not in GIVEN}


def roots() -> list[Path]:
    return sorted(path.parent for path in ENVIRONMENTS.glob("*/main.tf"))


def test_there_is_one_for_trying_and_one_that_people_use() -> None:
    assert [path.name for path in roots()] == ["dev", "prod"]


def test_what_is_not_a_setting_is_the_same_in_each() -> None:
    assert len({(path / "deployment.tf").read_text() for path in roots()}) == 1


def test_a_root_gives_every_output_of_the_module() -> None:
    given = set(re.findall(r'output "(\w+)"', (ENVIRONMENTS / "prod/deployment.tf").read_text()))
    module = "".join(path.read_text() for path in TERRAFORM.glob("*.tf"))
    assert given == set(re.findall(r'output "(\w+)"', module))


def test_each_has_a_name_and_a_state_of_its_own() -> None:
    texts = [(path / "main.tf").read_text() for path in roots()]
    for pattern in (r'  name +=  *"(.*)"', r'    prefix = "(.*)"'):
        found = [re.findall(pattern, text) for text in texts]
        assert [len(one) for one in found] == [1] * len(texts)
        assert len({one[0] for one in found}) == len(texts), pattern


def prod_of(there: Deployment) -> Deployment:
    """Return *there* as the environment `prod`, with the settings that it was made with."""
    root = there.folder / "terraform"
    shutil.copytree(TERRAFORM, root)
    prod = root / "environments" / "prod"
    settings = "".join(f"  {key} = {json.dumps(value)}\n" for key, value in OWN.items())
    main = (prod / "main.tf").read_text()
    main = main.replace('  backend "gcs" {\n    prefix = "imagesearch"\n  }\n', "")
    main = main.replace("  budget            = local.budget\n", settings)
    (prod / "main.tf").write_text(main)
    (there.folder / "build").mkdir()
    for function in ("query", "fetch"):
        shutil.copy(there.folder / "empty.zip", there.folder / "build" / f"{function}.zip")
    (prod / "terraform.tfvars.json").write_text(json.dumps(GIVEN))
    shutil.copy(there.folder / "terraform.tfstate", prod)
    there.folder = prod
    there.terraform("init", "-input=false")
    return there


# What is planned of these without a move, too: the state that is written lacks the password, and
# what the mocks made up for others.
UNSETTLED = {
    "google_compute_backend_service.query[0]",
    "google_secret_manager_secret_version.database_url[0]",
    "google_sql_user.library[0]",
}


def changes_of(plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what *plan* says of each resource, but the password, which is in no state here."""
    return [
        one
        for one in plan["resource_changes"]
        if one["mode"] == "managed" and "database_password" not in one["address"]
    ]


def test_what_was_deployed_before_moves_into_prod_and_nothing_of_it_changes() -> None:
    old = set(re.findall(r"from = (\S+)", (ENVIRONMENTS / "prod" / "moved.tf").read_text()))
    assert {address.partition("[")[0] for address in json.loads(NAMES.read_text())} < old
    with deployment("full") as there:
        prod = prod_of(there)
        plan = prod.planned()
        # An apply that makes nothing else keeps what the script goes on with.
        (prod.folder / "terraform.tfstate").unlink()
        target = "-target=module.imagesearch.terraform_data.deployment"
        prod.terraform("apply", "-auto-approve", target)
        outputs = json.loads(prod.terraform("output", "-json"))
    moved = 0
    for one in changes_of(plan):
        before = one["address"].removeprefix("module.imagesearch.")
        if before.partition("[")[0] in old:
            assert one["change"]["actions"] == (["update"] if before in UNSETTLED else ["no-op"])
            assert one["previous_address"] == before
            moved += 1
    assert moved > 200
    kept = {name: one["value"] for name, one in outputs.items()}
    assert kept == {"region": "europe-west4", "inference_profile": "split"}
