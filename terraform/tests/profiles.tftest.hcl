# What each profile runs, and what it needs for that.

mock_provider "google" {}

variables {
  project_id        = "example-project"
  inference_image   = "registry.example.com/inference@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  function_archives = { query = "tests/empty.zip", fetch = "tests/empty.zip" }
}

run "gpu_is_one_service_that_embeds_and_scores" {
  command = apply

  variables {
    inference_profile = "gpu"
  }

  assert {
    condition     = join(",", keys(google_cloud_run_v2_service.inference)) == "inference"
    error_message = "One service, and no scorer."
  }
  assert {
    condition = (
      google_cloud_run_v2_service.inference["inference"].template[0].node_selector[0].accelerator == "nvidia-l4"
      && google_cloud_run_v2_service.inference["inference"].template[0].containers[0].resources[0].limits["nvidia.com/gpu"] == "1"
      && google_cloud_run_v2_service.inference["inference"].template[0].gpu_zonal_redundancy_disabled
    )
    error_message = "It has one L4 of the cheaper kind."
  }
  assert {
    condition = (
      tonumber(google_cloud_run_v2_service.inference["inference"].template[0].containers[0].resources[0].limits["cpu"]) >= 4
      && tonumber(trimsuffix(google_cloud_run_v2_service.inference["inference"].template[0].containers[0].resources[0].limits["memory"], "Gi")) >= 16
    )
    error_message = "An L4 needs 4 CPUs and 16 GiB."
  }
  assert {
    condition     = google_cloud_run_v2_service.inference["inference"].template[0].containers[0].resources[0].cpu_idle == false
    error_message = "A GPU is billed by the instance."
  }
  assert {
    condition = (
      google_cloudfunctions2_function.query.service_config[0].environment_variables["SCORER_URL"] == google_cloud_run_v2_service.inference["inference"].uri
      && !contains(keys(google_cloudfunctions2_function.query.service_config[0].environment_variables), "EMBEDDER_URL")
    )
    error_message = "The query function scores with it, and wakes the same."
  }
  assert {
    condition = (
      google_cloudfunctions2_function.query.build_config[0].source[0].storage_source[0].object == "query-${filesha256("tests/empty.zip")}.zip"
      && google_cloudfunctions2_function.fetch.build_config[0].source[0].storage_source[0].object == "fetch-${filesha256("tests/empty.zip")}.zip"
    )
    error_message = "Another zip is another revision."
  }
}

run "by_default_split_scores_on_cpus_and_embeds_on_a_gpu" {
  command = apply

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
}

run "cpu_needs_no_gpu_and_may_be_kept_awake" {
  command = apply

  variables {
    inference_profile = "cpu"
    region            = "us-west1"
    instances         = { query = { min = 1 }, inference = { min = 1, max = 2 } }
  }

  assert {
    condition = (
      length(google_cloud_run_v2_service.inference["inference"].template[0].node_selector) == 0
      && !contains(keys(google_cloud_run_v2_service.inference["inference"].template[0].containers[0].resources[0].limits), "nvidia.com/gpu")
      && google_cloud_run_v2_service.inference["inference"].template[0].gpu_zonal_redundancy_disabled == null
    )
    error_message = "No GPU is asked for, in any region."
  }
  assert {
    condition     = google_cloud_run_v2_service.inference["inference"].template[0].containers[0].resources[0].cpu_idle
    error_message = "Billed by the request."
  }
  assert {
    condition = (
      google_cloudfunctions2_function.query.service_config[0].min_instance_count == 1
      && google_cloud_run_v2_service.inference["inference"].template[0].scaling[0].min_instance_count == 1
      && google_cloud_run_v2_service.inference["inference"].template[0].scaling[0].max_instance_count == 2
    )
    error_message = "min and max reach the services."
  }
}
