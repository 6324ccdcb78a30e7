# That a key of one's own stays what it was on the first day. What it encrypts, and who uses it, is in
# tests/unit/test_terraform.py and test_terraform_grants.py. And what the outputs say of a deployment that is made.

mock_provider "google" {}

variables {
  project_id        = "example-project"
  inference_image   = "registry.example.com/inference@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  function_archives = { query = "tests/empty.zip", fetch = "tests/empty.zip" }
  kms_key           = "projects/their-keys/locations/europe-west4/keyRings/ring/cryptoKeys/key"
}

run "it_is_given_on_the_first_day" {
  command = apply

  variables {
    app_enabled = true
    app_image   = "registry.example.com/app@sha256:1111111111111111111111111111111111111111111111111111111111111111"
    door        = "everyone_unchecked"
  }

  assert {
    condition     = google_cloud_run_v2_service.app["app"].template[0].encryption_key == var.kms_key
    error_message = "So is the web app."
  }
  assert {
    condition     = google_cloud_run_v2_service.app["app"].invoker_iam_disabled && length(google_cloud_run_v2_service_iam_member.public_calls_app) == 0
    error_message = "Where allUsers is forbidden, the app's service checks nobody, either."
  }

  assert {
    condition     = google_firestore_database.catalog.cmek_config[0].kms_key_name == var.kms_key
    error_message = "The catalog is encrypted with it."
  }
  assert {
    condition     = google_project_iam_member.build["roles/storage.objectViewer"].condition[0].expression == "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-${data.google_project.this.number}-europe-west4\")"
    error_message = "The bucket that Cloud Functions keeps its copies in may be called longer then."
  }
  assert {
    condition     = output.region == "europe-west4" && output.inference_profile == "split" && output.inference_image == var.inference_image
    error_message = "What is deployed, and where, is read from the state by whoever plans next."
  }
}

run "another_one_is_refused_later" {
  command = plan

  variables {
    kms_key = "projects/their-keys/locations/europe-west4/keyRings/ring/cryptoKeys/another"
  }

  expect_failures = [google_firestore_database.catalog]
}

run "and_so_is_none" {
  command = plan

  variables {
    kms_key = null
  }

  expect_failures = [google_firestore_database.catalog]
}
