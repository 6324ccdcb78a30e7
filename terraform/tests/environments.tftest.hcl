# Another deployment in the same project; that two have no name in common is in tests/unit/test_environments.py.

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

run "another_name_is_another_deployment" {
  command = plan

  variables {
    name           = "imagesearch-dev"
    state_bucket   = "example-project-imagesearch-dev-state"
    drift_schedule = "41 5 * * 1"
    objectives     = { availability = 0.99 }
    traces_enabled = true
  }

  assert {
    condition     = google_pubsub_topic.work["fetch-jobs"].name == "imagesearch-dev-fetch-jobs" && google_pubsub_subscription.dead_letter_kept["fetch-jobs"].name == "imagesearch-dev-fetch-jobs-dead-letter-kept"
    error_message = "Topics and subscriptions have the name."
  }
  assert {
    condition     = google_cloudfunctions2_function.query.service_config[0].environment_variables["TOPIC_PREFIX"] == "imagesearch-dev-"
    error_message = "The functions publish to these."
  }
  assert {
    condition = (
      google_cloudfunctions2_function.fetch.service_config[0].environment_variables["TRACES"] == "cloud"
      && toset(keys(google_project_iam_member.workload_writes_traces)) == toset(["query", "fetch", "inference", "scorer"])
      && contains(keys(google_project_service.api), "cloudtrace")
    )
    error_message = "Each workload may send spans, and does."
  }
  assert {
    condition     = google_firestore_database.catalog.name == "imagesearch-dev"
    error_message = "(default) is the first deployment's."
  }
  assert {
    condition     = google_project_iam_custom_role.deployer_reads.role_id == "imagesearch_devDeployerReads" && google_logging_metric.given_up.name == "imagesearch_dev_given_up"
    error_message = "What takes no hyphen has the name without."
  }
  assert {
    condition     = google_monitoring_alert_policy.query["errors"].display_name == "imagesearch-dev: the API answers with errors"
    error_message = "An alert says of which."
  }
  assert {
    condition     = google_cloud_scheduler_job.looks_for_drift[0].pubsub_target[0].topic_name == google_pubsub_topic.drift[0].id && google_pubsub_topic.drift[0].name == "imagesearch-dev-drift"
    error_message = "The look for drift is started by a topic."
  }
  assert {
    condition     = google_monitoring_slo.availability.goal == 0.99 && google_monitoring_slo.availability.rolling_period_days == 28
    error_message = "The objective is what was given."
  }
}

run "names_that_another_deployment_has_are_refused" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    name = "imagesearch-cache"
  }

  expect_failures = [var.name]
}

run "names_that_are_too_long_for_an_account_are_refused" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    name = "imagesearch-of-the-press"
  }

  expect_failures = [var.name]
}

run "what_nothing_could_meet_or_read_is_refused" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    objectives     = { availability = 1 }
    drift_schedule = "weekly"
  }

  expect_failures = [var.objectives, var.drift_schedule]
}
