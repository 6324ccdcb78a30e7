# What each profile runs, and what it needs for that; split is the default: defaults.tftest.hcl.

mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  project_id        = "example-project"
  inference_image   = "registry.example.com/inference@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  function_archives = { query = "tests/empty.zip", fetch = "tests/empty.zip" }
}

run "gpu_is_one_service_that_embeds_and_scores" {
  command = plan

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

run "cpu_needs_no_gpu_and_may_be_kept_awake" {
  command = plan

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
  assert {
    condition     = local.asked_for["inference"].cpus == 8 && local.asked_for["inference"].memory_gib == 16
    error_message = "Two of 4 CPUs and 8 GiB."
  }
}
