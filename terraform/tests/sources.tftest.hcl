# What other sources than Pixabay change: the settings of two functions, how many fetch, and the key.

mock_provider "google" {}

variables {
  project_id        = "example-project"
  inference_image   = "registry.example.com/inference@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  function_archives = { query = "tests/empty.zip", fetch = "tests/empty.zip" }
  source_contact    = "ann@example.org"
}

run "commons_is_fetched_from_by_one_instance_and_without_a_key" {
  command = plan

  variables {
    image_sources = ["commons"]
    instances     = { fetch = { min = 2, max = 3 } }
  }

  assert {
    condition = (
      google_cloudfunctions2_function.fetch.service_config[0].max_instance_count == 1
      && google_cloudfunctions2_function.fetch.service_config[0].min_instance_count == 1
    )
    error_message = "Wikimedia allows two downloads at a time, which a process sees to for itself."
  }
  assert {
    condition = (
      google_cloudfunctions2_function.fetch.service_config[0].environment_variables["SOURCE"] == "commons"
      && google_cloudfunctions2_function.fetch.service_config[0].environment_variables["SOURCE_CONTACT"] == "ann@example.org"
      && google_cloudfunctions2_function.query.service_config[0].environment_variables["SOURCE"] == "commons"
      && !contains(keys(google_cloudfunctions2_function.query.service_config[0].environment_variables), "SOURCE_CONTACT")
    )
    error_message = "Both know the source, and the fetch function whom it is asked for."
  }
  assert {
    condition = (
      !contains([for secret in google_cloudfunctions2_function.fetch.service_config[0].secret_environment_variables : secret.key], "PIXABAY_API_KEY")
      && length(google_secret_manager_secret.pixabay_key) + length(google_secret_manager_secret_iam_member.fetch_reads_pixabay_key) == 0
      && output.pixabay_key_secret == null
    )
    error_message = "Nobody has a key of Pixabay's."
  }
}

run "several_have_the_key_where_pixabay_is_among_them" {
  command = plan

  variables {
    image_sources       = ["pixabay", "openverse"]
    memorystore_enabled = true
  }

  assert {
    condition     = contains([for secret in google_cloudfunctions2_function.fetch.service_config[0].secret_environment_variables : secret.key], "PIXABAY_API_KEY")
    error_message = "Pixabay is asked with it."
  }
  assert {
    condition     = google_cloudfunctions2_function.fetch.service_config[0].max_instance_count == 4 && google_cloudfunctions2_function.fetch.service_config[0].environment_variables["SOURCE"] == "pixabay,openverse"
    error_message = "Memorystore keeps the quotas for all instances."
  }
}

run "openverse_is_fetched_from_by_one_instance_where_each_keeps_its_own_quotas" {
  command = plan

  variables {
    image_sources  = ["openverse"]
    source_contact = null
  }

  assert {
    condition     = google_cloudfunctions2_function.fetch.service_config[0].max_instance_count == 1 && google_cloudfunctions2_function.fetch.service_config[0].min_instance_count == null
    error_message = "Else each instance would ask as often as all may."
  }
}
