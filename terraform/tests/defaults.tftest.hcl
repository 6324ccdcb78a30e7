# A deployment with all defaults, made once: each run of Terraform's tests takes seconds. That there is
# no grant besides, and that the topics equal imagesearch/deployment/topics.py, is in
# tests/unit/test_terraform.py.

mock_provider "google" {
  source = "./tests/mocks"
}

override_data {
  target = data.google_project.this
  values = { number = "123456789012" }
}

variables {
  project_id        = "example-project"
  inference_image   = "registry.example.com/inference@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  function_archives = { query = "tests/empty.zip", fetch = "tests/empty.zip" }
}

run "everything_is_as_it_is_unless_told" {
  command = plan

  # What is stored is protected, and alerts are silent unless told.

  assert {
    condition     = google_firestore_database.catalog.delete_protection_state == "DELETE_PROTECTION_ENABLED" && !google_storage_bucket.images.force_destroy
    error_message = "Neither the catalog nor the images go by mistake."
  }
  assert {
    condition     = length(google_storage_bucket.images.lifecycle_rule) == 0
    error_message = "Images stay unless told."
  }
  assert {
    condition     = one(google_storage_bucket.images.cors).origin == tolist(["*"]) && one(google_storage_bucket.images.cors).method == tolist(["GET", "HEAD"])
    error_message = "The page saves public images from the bucket, which is another origin, and no page writes."
  }
  assert {
    condition     = length(google_monitoring_notification_channel.email) == 0 && length(google_billing_budget.month) == 0 && length(google_monitoring_alert_policy.query["errors"].notification_channels) == 0
    error_message = "Alerts show in the console only."
  }

  # Without a domain the function answers by itself.

  assert {
    condition     = google_cloudfunctions2_function.query.service_config[0].ingress_settings == "ALLOW_ALL"
    error_message = "The function is called directly."
  }
  assert {
    condition = (
      google_cloudfunctions2_function.query.service_config[0].environment_variables["TRUSTED_PROXIES"] == "1"
      && !contains(keys(google_cloudfunctions2_function.query.service_config[0].environment_variables), "IMAGE_BASE_URL")
    )
    error_message = "One proxy, Cloud Run's own, and images from the bucket."
  }
  assert {
    condition     = length(google_compute_global_forwarding_rule.https) + length(google_compute_security_policy.front) + length(google_compute_backend_bucket.images) == 0
    error_message = "No part of a load balancer, which costs by the hour."
  }
  assert {
    condition     = output.api_url == google_cloudfunctions2_function.query.service_config[0].uri && output.load_balancer_address == null
    error_message = "The outputs say so."
  }

  # Each may do its own work.

  assert {
    condition = length(distinct([
      google_cloudfunctions2_function.query.service_config[0].service_account_email,
      google_cloudfunctions2_function.fetch.service_config[0].service_account_email,
      google_cloud_run_v2_service.inference["inference"].template[0].service_account,
      google_cloud_run_v2_service.inference["scorer"].template[0].service_account,
      google_service_account.push.email,
      google_service_account.build.email,
      google_service_account.deployer.email,
      google_service_account.planner.email,
    ])) == 8
    error_message = "One account for each workload."
  }
  assert {
    condition     = google_cloudfunctions2_function.query.build_config[0].service_account == google_service_account.build.id && google_cloudfunctions2_function.fetch.build_config[0].service_account == google_service_account.build.id
    error_message = "Functions are built by the build account, not by the project's default one."
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_member.public_calls_query[0].role == "roles/run.invoker" && google_cloud_run_v2_service_iam_member.public_calls_query[0].name == google_cloudfunctions2_function.query.name
    error_message = "Anyone may call the query function."
  }
  assert {
    condition     = google_storage_bucket_iam_member.public_reads_images[0].role == "roles/storage.legacyObjectReader" && google_storage_bucket_iam_member.public_reads_images[0].bucket == google_storage_bucket.images.name
    error_message = "Anyone may read an image, and not list them."
  }
  assert {
    condition = !anytrue([for one in concat(
      values(google_cloud_run_v2_service_iam_member.query_calls_inference),
      values(google_cloud_run_v2_service_iam_member.deployer_updates_inference),
      [google_cloud_run_v2_service_iam_member.push_calls_fetch, google_cloud_run_v2_service_iam_member.push_calls_inference],
    ) : contains(["allUsers", "allAuthenticatedUsers"], one.member)])
    error_message = "Nobody calls the other services without an account of ours."
  }
  assert {
    condition     = google_cloudfunctions2_function.fetch.service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY"
    error_message = "The fetch function cannot be reached from outside."
  }
  assert {
    condition     = google_storage_bucket.sources.public_access_prevention == "enforced"
    error_message = "The code is not public."
  }
  assert {
    condition     = alltrue([for one in google_project_iam_member.workload_uses_catalog : one.condition[0].expression == "resource.name == \"projects/example-project/databases/(default)\""])
    error_message = "Rights on Firestore are held to the one database."
  }
  assert {
    condition     = alltrue([for one in google_project_iam_member.workload_uses_catalog : contains(["roles/datastore.user", "roles/datastore.viewer"], one.role)])
    error_message = "Nobody administers it."
  }
  assert {
    condition     = google_secret_manager_secret_iam_member.fetch_reads_pixabay_key[0].member == google_service_account.fetch.member
    error_message = "Pixabay's key is the fetch function's."
  }
  assert {
    condition     = !contains([for secret in google_cloudfunctions2_function.query.service_config[0].secret_environment_variables : secret.key], "PIXABAY_API_KEY")
    error_message = "The query function does not have it."
  }
  assert {
    condition     = one([for secret in google_cloudfunctions2_function.fetch.service_config[0].secret_environment_variables : secret.version if secret.key == "PIXABAY_API_KEY"]) == "latest"
    error_message = "It is read from Secret Manager."
  }
  assert {
    condition     = google_project_iam_member.build["roles/storage.objectViewer"].condition[0].expression == "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-123456789012-europe-west4/\")"
    error_message = "Builds read the bucket of the functions' sources and no other."
  }
  assert {
    condition     = length(google_storage_bucket_iam_member.deployer_writes_state) == 0 && length(google_storage_bucket_iam_member.planner_reads_state) == 0 && length(google_billing_account_iam_member.deployer_reads_budget) == 0
    error_message = "Nothing is granted on what is not named."
  }
  assert {
    condition     = alltrue([for one in google_project_iam_member.planner : contains(["roles/browser", "roles/logging.logWriter", "roles/serviceusage.serviceUsageConsumer"], one.role)])
    error_message = "What is proposed is planned with an account that sees next to nothing."
  }
  assert {
    condition     = google_artifact_registry_repository_iam_member.planner_reads_cache.repository == google_artifact_registry_repository.cache.name && google_artifact_registry_repository_iam_member.planner_reads_cache.role == "roles/artifactregistry.reader"
    error_message = "It reads the cache of the builds, and no image."
  }

  # The cache keeps one of each, and the images ten.

  assert {
    condition     = one(google_artifact_registry_repository.cache.cleanup_policies).condition[0].tag_state == "UNTAGGED"
    error_message = "What a newer build replaced loses its tag, and goes."
  }
  assert {
    condition     = one([for policy in google_artifact_registry_repository.images.cleanup_policies : policy.most_recent_versions[0].keep_count if policy.action == "KEEP"]) == 10
    error_message = "Ten of each image stay for rolling back."
  }

  # Messages: what is pushed, and where work that fails goes.

  assert {
    condition = alltrue([for one in concat(values(google_pubsub_subscription.work), values(google_pubsub_subscription.dead_letter)) :
      length(one.push_config[0].oidc_token) == 1
    ])
    error_message = "Every push carries a token (OIDC)."
  }
  assert {
    condition = alltrue([for one in concat(values(google_pubsub_subscription.work), values(google_pubsub_subscription.dead_letter)) : (
      one.push_config[0].oidc_token[0].service_account_email == google_service_account.push.email
      && startswith(one.push_config[0].push_endpoint, one.push_config[0].oidc_token[0].audience)
    )])
    error_message = "The token is the push account's, for the service that is pushed to."
  }
  assert {
    condition     = alltrue([for name, one in google_pubsub_subscription.work : one.dead_letter_policy[0].dead_letter_topic == google_pubsub_topic.dead_letter[name].id])
    error_message = "Work that fails goes to a dead-letter topic that exists."
  }
  assert {
    condition = alltrue([for name in keys(google_pubsub_topic.dead_letter) : (
      google_pubsub_subscription.dead_letter[name].topic == google_pubsub_topic.dead_letter[name].id
      && google_pubsub_subscription.dead_letter_kept[name].topic == google_pubsub_topic.dead_letter[name].id
      && length(google_pubsub_subscription.dead_letter_kept[name].push_config) == 0
    )])
    error_message = "Each dead-letter topic has a door that marks the pool, and a place to look."
  }
  assert {
    condition = alltrue([for name, one in google_pubsub_topic.dead_letter : (
      google_pubsub_topic_iam_member.agent_publishes_dead_letters[name].topic == one.id
      && google_pubsub_topic_iam_member.agent_publishes_dead_letters[name].role == "roles/pubsub.publisher"
      && google_pubsub_topic_iam_member.agent_publishes_dead_letters[name].member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
    )])
    error_message = "Pub/Sub's agent may publish dead letters."
  }
  assert {
    condition = alltrue([for name, one in google_pubsub_subscription.work : (
      google_pubsub_subscription_iam_member.agent_acks_dead_letters[name].subscription == one.id
      && google_pubsub_subscription_iam_member.agent_acks_dead_letters[name].role == "roles/pubsub.subscriber"
      && google_pubsub_subscription_iam_member.agent_acks_dead_letters[name].member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
    )])
    error_message = "Pub/Sub's agent may ack what it moves there."
  }
  assert {
    condition = (
      google_service_account_iam_member.agent_mints_push_tokens.service_account_id == "projects/example-project/serviceAccounts/imagesearch-push@example-project.iam.gserviceaccount.com"
      && google_service_account_iam_member.agent_mints_push_tokens.role == "roles/iam.serviceAccountTokenCreator"
      && google_service_account_iam_member.agent_mints_push_tokens.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
    )
    error_message = "Pub/Sub's agent may mint the tokens of the push account."
  }
  assert {
    condition = alltrue([for one in concat(values(google_pubsub_subscription.work), values(google_pubsub_subscription.dead_letter), values(google_pubsub_subscription.dead_letter_kept)) :
      one.expiration_policy[0].ttl == ""
    ])
    error_message = "No subscription goes when it is idle."
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_member.push_calls_fetch.member == google_service_account.push.member && google_cloud_run_v2_service_iam_member.push_calls_inference.member == google_service_account.push.member
    error_message = "The push account may call both services."
  }

  # The profile is split: it scores on CPUs and embeds on a GPU.

  assert {
    condition     = join(",", keys(google_cloud_run_v2_service.inference)) == "inference,scorer"
    error_message = "Two services."
  }
  assert {
    condition     = google_cloud_run_v2_service.inference["inference"].template[0].scaling[0].max_instance_count == 2
    error_message = "As many as a new project's memory holds; with one, a machine that Google moves is an outage."
  }
  assert {
    condition = (
      length(google_cloud_run_v2_service.inference["inference"].template[0].node_selector) == 1
      && length(google_cloud_run_v2_service.inference["scorer"].template[0].node_selector) == 0
      && !contains(keys(google_cloud_run_v2_service.inference["scorer"].template[0].containers[0].resources[0].limits), "nvidia.com/gpu")
    )
    error_message = "The GPU is the embedder's alone."
  }
  assert {
    condition     = google_cloud_run_v2_service.inference["scorer"].template[0].containers[0].image == google_cloud_run_v2_service.inference["inference"].template[0].containers[0].image
    error_message = "Both run the same image."
  }
  assert {
    condition     = google_cloud_run_v2_service.inference["scorer"].template[0].containers[0].resources[0].cpu_idle
    error_message = "The scorer is billed by the request."
  }
  assert {
    condition = (
      google_cloudfunctions2_function.query.service_config[0].environment_variables["SCORER_URL"] == google_cloud_run_v2_service.inference["scorer"].uri
      && google_cloudfunctions2_function.query.service_config[0].environment_variables["EMBEDDER_URL"] == google_cloud_run_v2_service.inference["inference"].uri
    )
    error_message = "The query function scores with the one and wakes the other."
  }
  assert {
    condition     = startswith(google_pubsub_subscription.work["embed-batches"].push_config[0].push_endpoint, google_cloud_run_v2_service.inference["inference"].uri)
    error_message = "Batches go to the embedder."
  }
  assert {
    condition     = google_cloud_run_v2_service.inference["scorer"].template[0].service_account != google_cloud_run_v2_service.inference["inference"].template[0].service_account
    error_message = "Each has an account of its own."
  }
  assert {
    condition     = google_project_iam_member.workload_uses_catalog["scorer"].role == "roles/datastore.viewer"
    error_message = "The scorer only reads the catalog."
  }
  assert {
    condition     = alltrue([for one in google_cloud_run_v2_service.inference : one.template[0].scaling[0].min_instance_count == null && one.template[0].scaling[0].max_instance_count >= 1])
    error_message = "No instance is kept awake unless asked for."
  }
  assert {
    condition = alltrue([for one in google_cloud_run_v2_service.inference : (
      one.template[0].containers[0].startup_probe[0].http_get[0].path == "/started"
      && one.template[0].containers[0].liveness_probe[0].http_get[0].path == "/alive"
    )])
    error_message = "Started when its model is, whatever else is down; restarted when not alive."
  }
  assert {
    condition = alltrue([for one in google_cloud_run_v2_service.inference : alltrue([
      for probe in [one.template[0].containers[0].startup_probe[0], one.template[0].containers[0].liveness_probe[0]] : probe.http_get[0].port == one.template[0].containers[0].ports[0].container_port
    ])])
    error_message = "Probes ask the port that the container listens on."
  }
  assert {
    condition = alltrue([for one in google_cloud_run_v2_service.inference : (
      one.template[0].containers[0].startup_probe[0].period_seconds * one.template[0].containers[0].startup_probe[0].failure_threshold <= 240
      && one.template[0].containers[0].startup_probe[0].timeout_seconds <= one.template[0].containers[0].startup_probe[0].period_seconds
    )])
    error_message = "Cloud Run waits for 240 s at most, and no probe longer than its period."
  }
  assert {
    condition     = alltrue([for one in google_cloud_run_v2_service.inference : tonumber(trimsuffix(one.template[0].timeout, "s")) >= google_pubsub_subscription.work["embed-batches"].ack_deadline_seconds])
    error_message = "A push may take as long as its ack deadline."
  }
  assert {
    condition = alltrue([for one in [google_cloudfunctions2_function.query, google_cloudfunctions2_function.fetch] : (
      one.service_config[0].min_instance_count == null
      && one.service_config[0].environment_variables["THREADS"] == tostring(one.service_config[0].max_instance_request_concurrency)
    )])
    error_message = "A function may sleep, and has a thread for each request."
  }
  assert {
    condition     = google_cloudfunctions2_function.fetch.service_config[0].timeout_seconds >= google_pubsub_subscription.work["fetch-jobs"].ack_deadline_seconds
    error_message = "A fetch may take as long as its ack deadline."
  }

  # The web app.

  assert {
    condition     = length(google_cloud_run_v2_service.app) == 0 && !contains(output.services, "imagesearch-app") && length(google_service_account.app) == 0 && output.app_url == "" && output.app_image == ""
    error_message = "Nothing of it is there, and its outputs say so."
  }

  # Collections.

  assert {
    condition     = length(google_storage_notification.collection) + length(google_cloud_scheduler_job.updates_collection) + length(google_pubsub_topic_iam_member.bucket_agent_publishes_events) + length(google_pubsub_topic_iam_member.scheduler_publishes_collect_jobs) == 0
    error_message = "No job, no notification, and nobody who may publish."
  }
  assert {
    condition     = length(data.google_storage_project_service_account.this) + length(google_storage_bucket_iam_member.fetch_lists_collections) + length(google_storage_bucket_iam_member.fetch_reads_collections) == 0
    error_message = "Nothing is asked of Cloud Storage."
  }

  # What is known of an image.

  assert {
    condition     = contains(keys(google_project_service.api), "containeranalysis")
    error_message = "Provenance and the SBOM are kept by Artifact Analysis."
  }
  assert {
    condition     = !contains(keys(google_project_service.api), "containerscanning") && google_artifact_registry_repository.images.vulnerability_scanning_config[0].enablement_config == "DISABLED"
    error_message = "Scanning costs for each image, and is asked for: also where the API is on, for others or from before."
  }
  assert {
    condition     = length(google_binary_authorization_policy.project) == 0 && length(google_cloud_run_v2_service.inference["inference"].binary_authorization) == 0
    error_message = "Any image runs until somebody asks for less."
  }
  assert {
    condition     = length(google_service_account.updater) + length(google_cloud_scheduler_job.makes_updates) == 0
    error_message = "Updates are asked for."
  }

  # The quota of a new project.

  assert {
    condition     = join(", ", [for name, one in local.asked_for : "${name} ${one.cpus} ${one.memory_gib}"]) == "fetch 4 4, inference 8 32, query 3 1.5, scorer 4 8"
    error_message = "CPUs and GiB of each service, with a GPU or without."
  }
}
