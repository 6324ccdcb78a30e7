"""Who may do what in the cloud: the whole list, of all that `terraform/` grants, and when."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.terraform import (
    KEY,
    OTHER_PROJECT_NUMBER,
    PROJECT,
    PROJECT_NUMBER,
    ROOT,
    TERRAFORM,
    Applied,
    Resource,
    applied,
    waits_for,
)

AGENT = f"service-{PROJECT_NUMBER}@gcp-sa-pubsub.iam.gserviceaccount.com"
IAP = f"service-{PROJECT_NUMBER}@gcp-sa-iap.iam.gserviceaccount.com"
MONITORING = f"service-{PROJECT_NUMBER}@gcp-sa-monitoring-notification.iam.gserviceaccount.com"
SCHEDULER = f"service-{PROJECT_NUMBER}@gcp-sa-cloudscheduler.iam.gserviceaccount.com"
STORAGE, OTHER_STORAGE = (
    f"service-{number}@gs-project-accounts.iam.gserviceaccount.com"
    for number in (PROJECT_NUMBER, OTHER_PROJECT_NUMBER)
)
CATALOG = f'resource.name == "projects/{PROJECT}/databases/(default)"'
FOLDER = 'resource.name.startsWith("projects/_/buckets/example-work/objects/pictures/2026/")'
UPDATES = (
    'resource.name.startsWith("projects/_/buckets/example-project-imagesearch-sources'
    '/objects/updates/")'
)
FUNCTION_SOURCES = (
    f'resource.name.startsWith("projects/_/buckets/gcf-v2-sources-{PROJECT_NUMBER}-europe-west4/")'
)


@pytest.fixture
def full() -> Applied:
    return applied("full")


WORKLOADS = ("query", "fetch", "inference", "scorer")
GRANTS = {
    ("allUsers", "run.invoker", "imagesearch-query"),
    ("allUsers", "storage.legacyObjectReader", "example-project-imagesearch-images"),
    (AGENT, "pubsub.publisher", "fetch-jobs-dead-letter"),
    (AGENT, "pubsub.publisher", "embed-batches-dead-letter"),
    (AGENT, "pubsub.subscriber", "fetch-jobs"),
    (AGENT, "pubsub.subscriber", "embed-batches"),
    (AGENT, "pubsub.publisher", "forget-jobs-dead-letter"),
    (AGENT, "pubsub.subscriber", "forget-jobs"),
    (SCHEDULER, "pubsub.publisher", "forget-jobs"),
    (AGENT, "pubsub.publisher", "collect-jobs-dead-letter"),
    (AGENT, "pubsub.subscriber", "collect-jobs"),
    (SCHEDULER, "pubsub.publisher", "collect-jobs"),
    (SCHEDULER, "pubsub.publisher", "imagesearch-drift"),
    (SCHEDULER, "pubsub.publisher", "imagesearch-updates"),
    (AGENT, "pubsub.publisher", "bucket-events-dead-letter"),
    (AGENT, "pubsub.subscriber", "bucket-events"),
    (STORAGE, "pubsub.publisher", "bucket-events"),
    (OTHER_STORAGE, "pubsub.publisher", "bucket-events"),
    (AGENT, "iam.serviceAccountTokenCreator", "push"),
    ("query", "pubsub.publisher", "fetch-jobs"),
    ("query", "run.invoker", "imagesearch-inference"),
    ("query", "run.invoker", "imagesearch-scorer"),
    ("query", "datastore.user", CATALOG),
    ("query", "secretmanager.secretAccessor", "imagesearch-redis-auth"),
    ("query", "secretmanager.secretAccessor", "imagesearch-database-url"),
    ("query", "secretmanager.secretAccessor", "imagesearch-api-key"),
    ("fetch", "pubsub.publisher", "embed-batches"),
    ("fetch", "pubsub.publisher", "collect-jobs"),
    ("fetch", "storage.legacyBucketReader", "example-photos"),
    ("fetch", "storage.legacyBucketReader", "example-work"),
    ("fetch", "storage.legacyObjectReader", "example-photos"),
    ("fetch", "storage.legacyObjectReader", FOLDER),
    ("fetch", "storage.objectUser", "example-project-imagesearch-images"),
    ("fetch", "datastore.user", CATALOG),
    ("fetch", "secretmanager.secretAccessor", "imagesearch-redis-auth"),
    ("fetch", "secretmanager.secretAccessor", "imagesearch-database-url"),
    ("fetch", "secretmanager.secretAccessor", "imagesearch-pixabay-key"),
    ("inference", "storage.objectViewer", "example-project-imagesearch-images"),
    ("inference", "datastore.user", CATALOG),
    ("inference", "secretmanager.secretAccessor", "imagesearch-redis-auth"),
    ("inference", "secretmanager.secretAccessor", "imagesearch-database-url"),
    ("scorer", "datastore.viewer", CATALOG),
    ("scorer", "secretmanager.secretAccessor", "imagesearch-redis-auth"),
    ("scorer", "secretmanager.secretAccessor", "imagesearch-database-url"),
    ("push", "run.invoker", "imagesearch-fetch"),
    ("push", "run.invoker", "imagesearch-inference"),
    ("build", "logging.logWriter", "the project"),
    ("build", "storage.objectViewer", FUNCTION_SOURCES),
    ("build", "artifactregistry.writer", "imagesearch"),
    ("deployer", "artifactregistry.writer", "imagesearch"),
    ("deployer", "artifactregistry.writer", "imagesearch-cache"),
    ("deployer", "storage.objectUser", "example-project-imagesearch-sources"),
    ("deployer", "storage.objectUser", "example-project-imagesearch-state"),
    ("deployer", "run.developer", "imagesearch-inference"),
    ("deployer", "run.developer", "imagesearch-scorer"),
    ("deployer", "run.developer", "imagesearch-query"),
    ("deployer", "run.developer", "imagesearch-fetch"),
    ("deployer", "cloudfunctions.developer", "imagesearch-query"),
    ("deployer", "cloudfunctions.developer", "imagesearch-fetch"),
    ("deployer", "secretmanager.secretAccessor", "imagesearch-redis-auth"),
    ("deployer", "secretmanager.secretAccessor", "imagesearch-database-url"),
    ("deployer", "billing.viewer", "012345-6789AB-CDEF01"),
    *(
        ("deployer", "iam.serviceAccountUser", account)
        for account in ("query", "fetch", "inference", "scorer", "build", "deployer")
    ),
    *(
        ("deployer", role, "the project")
        for role in (
            "browser",
            "cloudbuild.builds.editor",
            "cloudfunctions.viewer",
            "cloudsql.viewer",
            "cloudscheduler.viewer",
            "compute.viewer",
            "containeranalysis.notes.attacher",
            "containeranalysis.notes.editor",
            "containeranalysis.occurrences.editor",
            "iam.securityReviewer",
            "logging.logWriter",
            "monitoring.viewer",
            "pubsub.viewer",
            "redis.viewer",
            "run.viewer",
            "secretmanager.viewer",
            "serviceusage.serviceUsageConsumer",
            "imagesearchDeployerReads",
        )
    ),
    ("updater", "logging.logWriter", "the project"),
    ("updater", "storage.legacyBucketReader", "example-project-imagesearch-sources"),
    ("updater", "storage.objectCreator", UPDATES),
    ("planner", "artifactregistry.reader", "imagesearch-cache"),
    ("planner", "storage.objectViewer", "example-project-imagesearch-state"),
    *(
        ("planner", role, "the project")
        for role in ("browser", "logging.logWriter", "serviceusage.serviceUsageConsumer")
    ),
}
# What a grant is on, by the argument that names it.
_TARGETS = (
    "bucket",
    "topic",
    "subscription",
    "secret_id",
    "repository",
    "service_account_id",
    "cloud_function",
    "web_backend_service",
    "crypto_key_id",
    "billing_account_id",
    "name",
)


def known_names(applied: Applied) -> dict[str, str]:
    """Return the short name of what Terraform knows by an id: accounts, topics, a role."""
    names = {
        one.values["id"]: one.values["name"]
        for one in applied.of("pubsub_topic", "pubsub_subscription", "artifact_registry_repository")
    }
    for one in applied.of("service_account"):
        account = one.values["account_id"].removeprefix("imagesearch-")
        email = f"{one.values['account_id']}@{PROJECT}.iam.gserviceaccount.com"
        names |= {
            one.values["member"]: account,
            one.values["name"]: account,
            f"projects/{PROJECT}/serviceAccounts/{email}": account,
        }
    for one in applied.of("artifact_registry_repository"):
        names[one.values["name"]] = one.values["repository_id"]
    for one in applied.of("project_iam_custom_role"):
        names[one.values["id"]] = one.values["role_id"]
    return names


def granting(applied: Applied) -> list[Resource]:
    """Return the resources that grant something."""
    role = "google_project_iam_custom_role"
    return [one for one in applied.resources if "_iam_" in one.type and one.type != role]


def grants(applied: Applied) -> Iterator[tuple[str, str, str]]:
    """Yield who, the role, and what it is on."""
    names = known_names(applied)
    for one in granting(applied):
        assert one.type.endswith("_iam_member"), "others would take away what is granted elsewhere"
        values = one.values
        target = next((values[name] for name in _TARGETS if values.get(name)), "the project")
        target = next((held["expression"] for held in values["condition"]), target)
        role = names.get(values["role"], values["role"].removeprefix("roles/"))
        member = names.get(values["member"], values["member"].removeprefix("serviceAccount:"))
        yield member, role, names.get(target, target)


def test_nobody_may_do_more_or_less_than_is_listed(full: Applied) -> None:
    assert set(grants(full)) == GRANTS


def test_the_public_may_search_and_see_images_and_nothing_else(full: Applied) -> None:
    public = {grant for grant in grants(full) if grant[0] in ("allUsers", "allAuthenticatedUsers")}
    assert public == {grant for grant in GRANTS if grant[0] == "allUsers"}
    assert len(public) == 2


def test_where_people_sign_in_the_public_may_do_nothing() -> None:
    """IAP calls for them, the uptime check for itself, and nobody else comes to the function."""
    closed = applied("closed")
    granted = set(grants(closed))
    assert not [grant for grant in granted if grant[0].startswith("all")]
    callers = {
        who for who, role, what in granted if (role, what) == ("run.invoker", "imagesearch-query")
    }
    assert callers == {IAP, MONITORING}
    assert ("query", "storage.objectViewer", "example-project-imagesearch-images") in granted
    assert {who for who, role, _ in granted if role.startswith("iap.")} == {
        "group:search@example.com"
    }


def test_a_key_of_ones_own_is_used_by_the_agents_of_all_that_store_and_by_nobody_else() -> None:
    used = {who for who, role, what in grants(applied("closed")) if what == KEY}
    agents = (
        *("gcp-sa-artifactregistry", "gcf-admin-robot", "gcp-sa-eventarc", "gcp-sa-firestore"),
        *("gcp-sa-pubsub", "serverless-robot-prod", "gcp-sa-secretmanager", "gs-project-accounts"),
        *("cloud-redis", "gcp-sa-cloud-sql"),
    )
    assert used == {f"service-{PROJECT_NUMBER}@{agent}.iam.gserviceaccount.com" for agent in agents}
    roles = {role for _, role, what in grants(applied("closed")) if what == KEY}
    assert roles == {"cloudkms.cryptoKeyEncrypterDecrypter"}


def test_what_is_somebodys_bucket_is_only_read_and_of_a_folder_no_other_object(
    full: Applied,
) -> None:
    of_others = [
        one
        for one in full.of("storage_bucket_iam_member")
        if one.values["bucket"] in ("example-photos", "example-work")
    ]
    assert {one.values["role"] for one in of_others} == {
        "roles/storage.legacyBucketReader",  # names
        "roles/storage.legacyObjectReader",
    }
    conditions = {
        one.values["bucket"]: [held["expression"] for held in one.values["condition"]]
        for one in of_others
        if one.values["role"] == "roles/storage.legacyObjectReader"
    }
    assert conditions == {"example-photos": [], "example-work": [FOLDER]}


def test_every_account_is_a_workloads_own(full: Applied) -> None:
    accounts = {one.values["account_id"] for one in full.of("service_account")}
    others = ("push", "build", "deployer", "planner", "updater")
    assert accounts == {f"imagesearch-{name}" for name in (*WORKLOADS, *others)}


def test_whoever_proposes_a_change_can_change_nothing(full: Applied) -> None:
    """A proposal brings its own cloudbuild.yaml, so that its account may do what it says there."""
    granted = {grant for grant in grants(full) if grant[0] == "planner"}
    assert {role for _, role, _ in granted} == {
        "artifactregistry.reader",
        "browser",
        "logging.logWriter",  # the build's own log
        "serviceusage.serviceUsageConsumer",
        "storage.objectViewer",
    }
    accounts = [one.values for one in full.of("service_account_iam_member")]
    assert not [one for one in accounts if "planner" in one["member"]]


def test_no_role_of_our_own_changes_anything(full: Applied) -> None:
    (role,) = full.of("project_iam_custom_role")
    for permission in role.values["permissions"]:
        assert re.match(r"get|list", permission.rpartition(".")[2]), permission


OWN_ROLE = "our own role"
# How a plan reads each type (a resource's Read in the provider's source): the permission, and the
# role of the deployer that has it (cloud.google.com/iam/docs/roles-permissions lists them; these
# were not looked up there one by one). What grants something, and is not here, is read by
# getIamPolicy, which Security Reviewer has for all, and hardly any other get.
READ_BY = {
    "google_artifact_registry_repository": ("repositories.get", "artifactregistry.writer"),
    "google_billing_account_iam_member": ("accounts.getIamPolicy", "billing.viewer"),
    "google_billing_budget": ("budgets.get", "billing.viewer"),
    "google_binary_authorization_policy": ("policy.get", "binaryauthorization.policyViewer"),
    "google_cloud_run_v2_service": ("services.get", "run.viewer"),
    "google_cloud_scheduler_job": ("jobs.get", "cloudscheduler.viewer"),
    "google_cloudfunctions2_function": ("functions.get", "cloudfunctions.viewer"),
    "google_compute_address": ("addresses.get", "compute.viewer"),
    "google_compute_backend_bucket": ("backendBuckets.get", "compute.viewer"),
    "google_compute_backend_service": ("backendServices.get", "compute.viewer"),
    "google_compute_forwarding_rule": ("forwardingRules.get", "compute.viewer"),
    "google_compute_global_address": ("globalAddresses.get", "compute.viewer"),
    "google_compute_global_forwarding_rule": ("globalForwardingRules.get", "compute.viewer"),
    "google_compute_managed_ssl_certificate": ("sslCertificates.get", "compute.viewer"),
    "google_compute_network": ("networks.get", "compute.viewer"),
    "google_compute_region_network_endpoint_group": (
        *("regionNetworkEndpointGroups.get", "compute.viewer"),
    ),
    "google_compute_security_policy": ("securityPolicies.get", "compute.viewer"),
    "google_compute_ssl_policy": ("sslPolicies.get", "compute.viewer"),
    "google_compute_subnetwork": ("subnetworks.get", "compute.viewer"),
    "google_compute_target_http_proxy": ("targetHttpProxies.get", "compute.viewer"),
    "google_compute_target_https_proxy": ("targetHttpsProxies.get", "compute.viewer"),
    "google_compute_url_map": ("urlMaps.get", "compute.viewer"),
    "google_firestore_backup_schedule": ("datastore.backupSchedules.get", OWN_ROLE),
    "google_firestore_database": ("datastore.databases.getMetadata", OWN_ROLE),
    "google_firestore_field": ("datastore.indexes.get", OWN_ROLE),
    "google_firestore_index": ("datastore.indexes.get", OWN_ROLE),
    "google_logging_metric": ("logging.logMetrics.get", OWN_ROLE),
    "google_logging_project_exclusion": ("logging.exclusions.get", OWN_ROLE),
    "google_monitoring_alert_policy": ("alertPolicies.get", "monitoring.viewer"),
    "google_monitoring_custom_service": ("services.get", "monitoring.viewer"),
    "google_monitoring_dashboard": ("dashboards.get", "monitoring.viewer"),
    "google_monitoring_notification_channel": ("notificationChannels.get", "monitoring.viewer"),
    "google_monitoring_slo": ("slos.get", "monitoring.viewer"),
    "google_monitoring_uptime_check_config": ("uptimeCheckConfigs.get", "monitoring.viewer"),
    "google_project": ("projects.get", "browser"),
    "google_project_iam_custom_role": ("iam.roles.get", OWN_ROLE),
    "google_project_service": ("services.list", "serviceusage.serviceUsageConsumer"),
    "google_pubsub_subscription": ("subscriptions.get", "pubsub.viewer"),
    "google_pubsub_topic": ("topics.get", "pubsub.viewer"),
    "google_redis_instance": ("redis.instances.getAuthString", OWN_ROLE),
    "google_secret_manager_secret": ("secrets.get", "secretmanager.viewer"),
    "google_secret_manager_secret_version": ("versions.access", "secretmanager.secretAccessor"),
    "google_service_account": ("iam.serviceAccounts.get", OWN_ROLE),
    "google_sql_database": ("databases.get", "cloudsql.viewer"),
    "google_sql_database_instance": ("instances.get", "cloudsql.viewer"),
    "google_sql_user": ("users.list", "cloudsql.viewer"),
    "google_storage_bucket": ("storage.buckets.get", OWN_ROLE),
    "google_storage_notification": ("storage.buckets.get", OWN_ROLE),
    "google_storage_project_service_account": ("projects.get", "browser"),
}


def test_a_plan_by_the_deployer_may_read_all_that_there_is(full: Applied) -> None:
    """What it may not read ends every roll-out, and every look for drift, with 403."""
    sources = "\n".join(path.read_text() for path in TERRAFORM.glob("*.tf"))
    types = set(re.findall(r'^(?:resource|data) "(google_\w+)"', sources, re.MULTILINE))
    unknown = {name for name in types - READ_BY.keys() if not name.endswith("_iam_member")}
    assert not unknown, "by which permission is it read, and which role of the deployer has it?"
    (own,) = full.of("project_iam_custom_role")
    text = (TERRAFORM / "deployer.tf").read_text().partition('"planner"')[0]
    roles = {"iam.securityReviewer", *(role for _, role in READ_BY.values())} - {OWN_ROLE}
    assert roles <= set(re.findall(r'"roles/([\w.]+)"', text))
    read = {permission for permission, role in READ_BY.values() if role == OWN_ROLE}
    assert read <= set(own.values["permissions"])


# When


USERS = ("cloudfunctions2_function", "cloud_run_v2_service", "pubsub_subscription")


def without_key(address: str) -> str:
    return address.partition("[")[0]


def members(one: Resource, applied: Applied) -> set[str]:
    """Return who must have been granted something before *one* is there."""
    if one.type == "google_pubsub_subscription":
        pushes = one.values["push_config"]
        who = {push["oidc_token"][0]["service_account_email"] for push in pushes}
    elif one.type == "google_cloud_run_v2_service":
        who = {one.values["template"][0]["service_account"]}
    else:
        (service,), (build,) = one.values["service_config"], one.values["build_config"]
        who = {service["service_account_email"], build["service_account"]}
    accounts = applied.of("service_account")
    known = {two.values[name]: two.values["member"] for two in accounts for name in ("email", "id")}
    agent = (
        {f"serviceAccount:{AGENT}"} if one.type == "google_pubsub_subscription" and who else set()
    )
    return {known[account] for account in who} | agent


def needed_by(one: Resource, applied: Applied) -> set[str]:
    """
    Return the addresses of the grants that *one* needs from its first moment on.

    Those are all that its accounts have, but for what is granted on something that waits for it.
    Dead letters are pushed to one door, and have no dead letters.
    """
    whose, user = members(one, applied), without_key(one.address)
    found = {without_key(two.address) for two in granting(applied) if two.values["member"] in whose}
    if user == "google_pubsub_subscription.dead_letter":
        found -= {
            "google_cloud_run_v2_service_iam_member.push_calls_inference",
            "google_pubsub_subscription_iam_member.agent_acks_dead_letters",
            "google_pubsub_topic_iam_member.agent_publishes_dead_letters",
        }
    return {address for address in found if user not in waits_for(address)}


def users(applied: Applied) -> list[Resource]:
    return [one for one in applied.of(*USERS) if members(one, applied)]


@pytest.mark.parametrize("name", ["full", "closed"])
def test_nothing_is_built_or_starts_or_pushes_before_it_has_its_rights(name: str) -> None:
    made = applied(name)
    assert {one.type.removeprefix("google_") for one in users(made)} == set(USERS)
    for one in users(made):
        needed = needed_by(one, made)
        assert needed, one.address
        assert needed <= waits_for(without_key(one.address)), one.address


def test_rights_are_among_what_is_made_before_the_first_image_is_built(full: Applied) -> None:
    """All but those on what is made from the image, or beside it."""
    script = (ROOT / "tools" / "first_deployment.sh").read_text()
    targets = re.findall(r"-target=module\.imagesearch\.(\w+\.\w+)", script)
    before = {two for one in targets for two in waits_for(one)}
    later = {without_key(one.address) for one in full.of(*USERS)}
    needed = {address for one in users(full) for address in needed_by(one, full)}
    possible = {address for address in needed if not waits_for(address) & later}
    assert len(possible) > 10
    assert possible <= before
    assert "google_firestore_database.catalog" in before
    assert not before & later
    assert "google_redis_instance.cache" not in before, "it takes minutes, and nothing waits for it"


def test_only_tokens_of_the_push_account_are_minted_by_pubsub(full: Applied) -> None:
    """Its agent, made on request, is not granted it by Google; without it no push leaves."""
    creators = {one for one in grants(full) if "TokenCreator" in one[1] or "OpenIdToken" in one[1]}
    assert creators == {(AGENT, "iam.serviceAccountTokenCreator", "push")}
    for one in full.of("pubsub_subscription"):
        if one.values["push_config"]:
            minted = "google_service_account_iam_member.agent_mints_push_tokens"
            assert minted in waits_for(without_key(one.address)), one.address
