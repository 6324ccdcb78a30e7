# What is known of an image, and what may run: docs/decisions/0090-what-is-known-of-an-image.md.

mock_provider "google" {}

override_data {
  target = data.google_project.this
  values = { number = "123456789012" }
}

variables {
  project_id        = "example-project"
  inference_image   = "europe-west4-docker.pkg.dev/example-project/imagesearch/inference@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  function_archives = { query = "tests/empty.zip", fetch = "tests/empty.zip" }
}

run "with_scans_updates_and_the_policy_of_another_deployment" {
  command = plan

  variables {
    scan_images          = true
    update_schedule      = "11 3 1 * *"
    binary_authorization = { makes_policy = false }
  }

  assert {
    condition     = contains(keys(google_project_service.api), "containerscanning")
    error_message = "The API scans."
  }
  assert {
    condition     = google_artifact_registry_repository.images.vulnerability_scanning_config[0].enablement_config == "INHERITED" && google_artifact_registry_repository.cache.vulnerability_scanning_config[0].enablement_config == "DISABLED"
    error_message = "What the cache holds is no image that runs, and would be paid for as one."
  }

  # Updates have an account that can do nothing else.

  assert {
    condition     = google_storage_bucket_iam_member.updater_leaves_updates[0].role == "roles/storage.objectCreator" && strcontains(google_storage_bucket_iam_member.updater_leaves_updates[0].condition[0].expression, "/objects/updates/")
    error_message = "It may not put a zip where the functions' are."
  }
  assert {
    condition     = google_cloud_scheduler_job.makes_updates[0].schedule == "11 3 1 * *"
    error_message = "The schedule is what was given."
  }

  # The policy.

  assert {
    condition     = length(google_binary_authorization_policy.project) == 0 && google_cloud_run_v2_service.inference["inference"].binary_authorization[0].use_default
    error_message = "A project has one policy."
  }
}

run "only_what_cloud_build_built_runs" {
  command = plan

  variables {
    binary_authorization = {}
    app_enabled          = true
    app_image            = "europe-west4-docker.pkg.dev/example-project/imagesearch/app@sha256:1111111111111111111111111111111111111111111111111111111111111111"
  }

  assert {
    condition     = google_binary_authorization_policy.project[0].default_admission_rule[0].require_attestations_by == toset(["projects/example-project/attestors/built-by-cloud-build"])
    error_message = "The attestor is Cloud Build's own."
  }
  assert {
    condition     = alltrue([for one in concat(values(google_cloud_run_v2_service.inference), values(google_cloud_run_v2_service.app)) : one.binary_authorization[0].use_default])
    error_message = "Each inference service asks for the policy, and so does the web app."
  }
  assert {
    condition     = contains(keys(google_project_iam_member.deployer), "roles/binaryauthorization.policyViewer") && contains(keys(google_project_service.api), "binaryauthorization")
    error_message = "A plan reads the policy."
  }
}

run "an_image_that_cloud_build_did_not_build_here_is_refused" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    inference_image      = "registry.example.com/inference@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    binary_authorization = {}
  }

  expect_failures = [var.binary_authorization]
}

run "an_image_of_the_web_app_from_elsewhere_is_refused" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    app_enabled          = true
    app_image            = "registry.example.com/app@sha256:1111111111111111111111111111111111111111111111111111111111111111"
    binary_authorization = {}
  }

  expect_failures = [var.binary_authorization]
}

run "another_projects_image_is_refused" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    inference_image      = "europe-west4-docker.pkg.dev/example-project-2/imagesearch/inference@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    binary_authorization = { makes_policy = false }
  }

  expect_failures = [var.binary_authorization]
}

run "a_schedule_that_is_none_is_refused" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    update_schedule = "monthly"
  }

  expect_failures = [var.update_schedule]
}
