# Buckets as collections: what each of them brings, and which are refused. That messages are what the code
# reads, and what may be read of a bucket, is in tests/unit/test_terraform.py and test_terraform_grants.py.

mock_provider "google" {
  mock_data "google_storage_project_service_account" {
    defaults = { member = "serviceAccount:service-123456789012@gs-project-accounts.iam.gserviceaccount.com" }
  }
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

run "two_folders_of_one_bucket_are_told_apart" {
  command = plan

  variables {
    retention_days       = 0
    collections_schedule = "0 */6 * * MON-FRI"
    collections = {
      "2026" = { bucket = "example-photos", prefix = "years/2026/", project_number = "210987654321" }
      "2025" = { bucket = "example-photos", prefix = "years/2025", project_number = "210987654321" }
      "202"  = { bucket = "example-photos", prefix = "years/202", project_number = "210987654321" }
    }
  }

  assert {
    condition     = join(",", values(google_storage_notification.collection)[*].object_name_prefix) == "years/202/,years/2025/,years/2026/"
    error_message = "A prefix is a folder, however it is written."
  }
  assert {
    condition     = join(",", keys(google_storage_bucket_iam_member.fetch_lists_collections)) == "example-photos"
    error_message = "One grant of a bucket, which no collection that goes takes from the others."
  }
  assert {
    condition     = google_storage_bucket_iam_member.fetch_reads_collections["2026"].condition[0].expression == "resource.name.startsWith(\"projects/_/buckets/example-photos/objects/years/2026/\")"
    error_message = "Of each folder its objects are read."
  }
  assert {
    condition     = join(",", values(google_pubsub_topic_iam_member.bucket_agent_publishes_events)[*].member) == "serviceAccount:service-210987654321@gs-project-accounts.iam.gserviceaccount.com"
    error_message = "The agent of the bucket's project publishes, and not ours."
  }
  assert {
    condition     = length(data.google_storage_project_service_account.this) == 0
    error_message = "Ours is not asked for."
  }
  assert {
    condition     = alltrue([for one in google_cloud_scheduler_job.updates_collection : one.schedule == "0 */6 * * MON-FRI"]) && length(distinct(values(output.collection_jobs))) == 3
    error_message = "Each has a job of its own, at the time that is asked for."
  }
  assert {
    condition     = contains(local.apis, "cloudscheduler") && length(google_cloud_scheduler_job.forgets_unused) == 0
    error_message = "Scheduler is on for them alone, too."
  }
}

run "takes_ten_folders_of_a_bucket_the_longest_names_and_a_quotation_mark_that_ends_no_condition" {
  command = plan

  variables {
    collections = merge(
      { for n in range(10) : "folder ${n}" => { bucket = "example-photos", prefix = tostring(n) } },
      { join("", [for n in range(100) : "n"]) = { bucket = "example-work", prefix = join("", [for n in range(1022) : "p"]) } },
      { odd = { bucket = "example-odd", prefix = "a\") || true || (\"" } },
    )
  }

  assert {
    condition     = google_storage_bucket_iam_member.fetch_reads_collections["odd"].condition[0].expression == "resource.name.startsWith(\"projects/_/buckets/example-odd/objects/a\\\") || true || (\\\"/\")"
    error_message = "It is a text of the condition's language."
  }
}

run "refuses_the_address_of_a_bucket" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    collections = { photos = { bucket = "gs://example-photos" } }
  }

  expect_failures = [var.collections]
}

run "refuses_an_eleventh" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    collections = { for n in range(11) : "folder ${n}" => { bucket = "example-photos", prefix = tostring(n) } }
  }

  expect_failures = [var.collections]
}

run "refuses_a_folder_within_another" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    collections = {
      all  = { bucket = "example-photos", prefix = "years" }
      some = { bucket = "example-photos", prefix = "years/2026/" }
    }
  }

  expect_failures = [var.collections]
}

run "refuses_a_bucket_twice" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    collections = {
      one   = { bucket = "example-photos" }
      other = { bucket = "example-photos" }
    }
  }

  expect_failures = [var.collections]
}

run "refuses_the_bucket_that_previews_are_put_into" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    collections = { previews = { bucket = "example-project-imagesearch-images" } }
  }

  expect_failures = [var.collections]
}

run "refuses_names_that_are_searched_by_alike" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    collections = {
      "My  photos" = { bucket = "example-photos" }
      "my photos"  = { bucket = "example-work" }
    }
  }

  expect_failures = [var.collections]
}

run "refuses_a_name_that_is_too_long" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    collections = { join("", [for n in range(101) : "n"]) = { bucket = "example-photos" } }
  }

  expect_failures = [var.collections]
}

run "refuses_a_name_with_space_around_it" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    collections = { " photos" = { bucket = "example-photos" } }
  }

  expect_failures = [var.collections]
}

run "refuses_a_folder_that_is_too_long" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    collections = { photos = { bucket = "example-photos", prefix = join("", [for n in range(1023) : "p"]) } }
  }

  expect_failures = [var.collections]
}

run "refuses_a_folder_with_a_slash_before_it" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    collections = { photos = { bucket = "example-photos", prefix = "/photos" } }
  }

  expect_failures = [var.collections]
}

run "refuses_the_name_of_a_project_for_its_number" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    collections = { photos = { bucket = "example-photos", project_number = "my-project-123" } }
  }

  expect_failures = [var.collections]
}

run "refuses_an_age_at_which_previews_would_go" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    collections         = { photos = { bucket = "example-photos" } }
    images_max_age_days = 90
  }

  expect_failures = [var.images_max_age_days]
}
