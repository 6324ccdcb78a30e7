# The web app: not there unless it is asked for, and then with no right to anything.

mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  project_id        = "example-project"
  inference_image   = "registry.example.com/inference@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  function_archives = { query = "tests/empty.zip", fetch = "tests/empty.zip" }
}

run "the_app_sleeps_has_one_instance_and_searches_the_api_for_anyone" {
  command = plan

  variables {
    app_enabled = true
    app_image   = "registry.example.com/app@sha256:1111111111111111111111111111111111111111111111111111111111111111"
    domain      = "search.example.com"
  }

  assert {
    condition = (
      google_cloud_run_v2_service.app["app"].template[0].scaling[0].max_instance_count == 1
      && google_cloud_run_v2_service.app["app"].template[0].scaling[0].min_instance_count == null
      && google_cloud_run_v2_service.app["app"].template[0].containers[0].resources[0].cpu_idle
    )
    error_message = "It scales to zero, and to one, which has the windows in its memory."
  }
  assert {
    condition     = google_cloud_run_v2_service.app["app"].template[0].service_account == google_service_account.app["app"].email
    error_message = "It has an account of its own."
  }
  assert {
    condition     = { for env in google_cloud_run_v2_service.app["app"].template[0].containers[0].env : env.name => env.value } == { API_URL = "https://search.example.com", IMAGE_ORIGINS = "https://storage.googleapis.com" }
    error_message = "It searches the API where people do, and no secret is in it."
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_member.public_calls_app["app"].member == "allUsers" && google_cloud_run_v2_service_iam_member.public_calls_app["app"].role == "roles/run.invoker"
    error_message = "Anyone may open it."
  }
  assert {
    condition     = strcontains(google_monitoring_dashboard.overview.dashboard_json, "|imagesearch-app")
    error_message = "It is awake, and costs, on the dashboard, too."
  }
  assert {
    condition     = contains(output.services, "imagesearch-app") && length(google_cloud_run_v2_service.app["app"].traffic) == 0 && google_cloud_run_v2_service.app["app"].template[0].session_affinity
    error_message = "A share of its traffic is tools/roll_out.py's to shift, and a window stays with one revision."
  }
  assert {
    condition     = output.app_image == var.app_image
    error_message = "What is deployed is read from the state by whoever plans next."
  }
}

run "an_app_without_an_image_is_refused" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    app_enabled = true
  }

  expect_failures = [var.app_image]
}
