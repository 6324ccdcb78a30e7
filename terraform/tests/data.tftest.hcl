# What is stored: Firestore's indexes, the bucket, what protects both; the budget and the alerts.
# Without any settings: defaults.tftest.hcl.

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

run "data_can_be_given_up_and_alerts_reach_an_address" {
  command = plan

  variables {
    protect_data        = false
    images_max_age_days = 90
    retention_days      = 0
    firestore_database  = "imagesearch"
    embedding_dimension = 768

    other_embedding_dimensions = [384]
    alert_email                = "ops@example.com"
    budget                     = { billing_account = "012345-6789AB-CDEF01", monthly_amount = 100 }
  }

  assert {
    condition = (
      google_firestore_database.catalog.delete_protection_state == "DELETE_PROTECTION_DISABLED"
      && google_firestore_database.catalog.deletion_policy == "DELETE"
      && google_storage_bucket.images.force_destroy
    )
    error_message = "terraform destroy then leaves nothing behind."
  }
  assert {
    condition     = length(google_cloud_scheduler_job.forgets_unused) == 0 && length(google_pubsub_topic_iam_member.scheduler_publishes_forget_jobs) == 0 && !contains(local.apis, "cloudscheduler")
    error_message = "Nothing is forgotten by itself where nothing is to be."
  }
  assert {
    condition     = one(google_storage_bucket.images.lifecycle_rule[0].condition).age == 90
    error_message = "Images go at their age."
  }
  assert {
    condition     = google_cloudfunctions2_function.query.service_config[0].environment_variables["FIRESTORE_DATABASE"] == "imagesearch"
    error_message = "The functions use the database that is made."
  }
  assert {
    condition     = join(",", google_firestore_index.nearest["768"].fields[*].field_path) == "model_revision,__name__,vector"
    error_message = "Filtered by model, and the vector comes last."
  }
  assert {
    condition = join(",", keys(google_firestore_index.filtered)) == "384-collection,384-tag,384-user,384-year,768-collection,768-tag,768-user,768-year" && alltrue([for key, index in google_firestore_index.filtered :
      join(",", index.fields[*].field_path) == "model_revision,facts.${split("-", key)[1]},__name__,vector" && tostring(index.fields[3].vector_config[0].dimension) == split("-", key)[0]
    ])
    error_message = "Filtered by model and fact, and as long as the embeddings of either model."
  }
  assert {
    condition     = google_firestore_index.nearest["768"].fields[2].vector_config[0].dimension == 768
    error_message = "As long as the model's embeddings."
  }
  assert {
    condition = alltrue([for one in concat(values(google_monitoring_alert_policy.metric), values(google_monitoring_alert_policy.query), [google_monitoring_alert_policy.inference_start]) :
      one.notification_channels == tolist([google_monitoring_notification_channel.email[0].id])
    ])
    error_message = "Every alert is sent."
  }
  assert {
    condition     = join(",", concat(keys(google_monitoring_alert_policy.metric), keys(google_monitoring_alert_policy.query))) == "api-down,dead-letters,oldest-unacked,availability-objective,errors,full,given-up,latency,latency-objective,malformed,no-instance,source"
    error_message = "One for each way in which it breaks."
  }
  assert {
    condition = (
      google_monitoring_alert_policy.metric["api-down"].conditions[0].condition_threshold[0].threshold_value == 1
      && google_monitoring_alert_policy.metric["api-down"].conditions[0].condition_threshold[0].aggregations[0].per_series_aligner == "ALIGN_NEXT_OLDER"
      && google_monitoring_alert_policy.metric["api-down"].conditions[0].condition_threshold[0].aggregations[0].cross_series_reducer == "REDUCE_COUNT_FALSE"
      && length(google_monitoring_uptime_check_config.ready.selected_regions) == 3
    )
    error_message = "The API is down when more than one of three places says so: places are counted, not checks."
  }
  assert {
    condition     = !strcontains(google_monitoring_alert_policy.inference_start.conditions[0].condition_matched_log[0].filter, "no available instance")
    error_message = "A service that is full is no service that does not start."
  }
  assert {
    condition = alltrue([for key in ["full", "no-instance"] : (
      strcontains(google_monitoring_alert_policy.query[key].conditions[0].condition_prometheus_query_language[0].query, "logging_googleapis_com:user_${google_logging_metric.no_instance.name}{")
      && strcontains(google_monitoring_alert_policy.query[key].conditions[0].condition_prometheus_query_language[0].query, "container_instance_count")
    )])
    error_message = "What tells them apart is whether an instance runs."
  }
  assert {
    condition     = google_logging_metric.ready_search_seconds.metric_descriptor[0].value_type == "DISTRIBUTION" && contains(google_logging_metric.ready_search_seconds.bucket_options[0].explicit_buckets[0].bounds, 2)
    error_message = "The threshold of the latency, 2 s, is a bound of a bucket."
  }
  assert {
    condition = (
      one(google_billing_budget.month[0].budget_filter[0].projects) == "projects/123456789012"
      && google_billing_budget.month[0].amount[0].specified_amount[0].units == "100"
      && google_billing_budget.month[0].all_updates_rule[0].monitoring_notification_channels == tolist([google_monitoring_notification_channel.email[0].id])
    )
    error_message = "The budget is of this project, and told to the same address."
  }
}
