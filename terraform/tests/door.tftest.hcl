# Who may call, and who may see pictures, where not everyone may: decision 0092. Everyone: defaults.tftest.hcl.

mock_provider "google" {
  source = "./tests/mocks"
}

override_data {
  target = data.google_project.this
  values = { number = "123456789012", org_id = "1234", folder_id = "" }
}

variables {
  project_id        = "example-project"
  inference_image   = "registry.example.com/inference@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  function_archives = { query = "tests/empty.zip", fetch = "tests/empty.zip" }
}

run "unchecked_grants_nobody_anything_and_private_images_are_the_functions_own" {
  command = plan

  variables {
    door           = "everyone_unchecked"
    private_images = true
  }

  assert {
    condition     = length(google_cloud_run_v2_service_iam_member.public_calls_query) + length(google_cloud_run_v2_service_iam_member.agent_calls_query) == 0
    error_message = "An organisation that forbids allUsers is not asked for it."
  }
  assert {
    condition     = length(google_storage_bucket_iam_member.public_reads_images) == 0 && google_storage_bucket.images.public_access_prevention == "enforced"
    error_message = "Nor for public objects."
  }
  assert {
    condition     = google_storage_bucket_iam_member.query_reads_images[0].role == "roles/storage.objectViewer" && google_storage_bucket_iam_member.query_reads_images[0].bucket == google_storage_bucket.images.name
    error_message = "The function reads what it serves."
  }
  assert {
    condition     = google_cloudfunctions2_function.query.service_config[0].environment_variables["PRIVATE_IMAGES"] == "true" && google_cloudfunctions2_function.query.service_config[0].ingress_settings == "ALLOW_ALL"
    error_message = "It serves them itself, and is called directly."
  }
  assert {
    condition     = length(google_monitoring_uptime_check_config.ready.http_check[0].service_agent_authentication) == 0
    error_message = "The uptime check needs no token."
  }
}

run "iap_lets_its_members_in_and_nobody_past_it" {
  command = plan

  variables {
    door                  = "iap"
    domain                = "search.example.com"
    iap_members           = ["group:search@example.com", "domain:example.com"]
    private_images        = true
    rate_limit_per_minute = 60
  }

  assert {
    condition     = google_compute_backend_service.query[0].iap[0].enabled
    error_message = "People sign in."
  }
  assert {
    condition = (
      toset([for one in google_iap_web_backend_service_iam_member.may_search : one.member]) == toset(["group:search@example.com", "domain:example.com"])
      && alltrue([for one in google_iap_web_backend_service_iam_member.may_search :
        one.role == "roles/iap.httpsResourceAccessor" && one.web_backend_service == google_compute_backend_service.query[0].name
      ])
    )
    error_message = "Those who are named."
  }
  assert {
    condition = length(google_cloud_run_v2_service_iam_member.public_calls_query) == 0 && toset([for one in google_cloud_run_v2_service_iam_member.agent_calls_query : one.member]) == toset([
      "serviceAccount:service-123456789012@gcp-sa-iap.iam.gserviceaccount.com",
      "serviceAccount:service-123456789012@gcp-sa-monitoring-notification.iam.gserviceaccount.com",
    ])
    error_message = "Only IAP and the uptime check call the function."
  }
  assert {
    condition     = google_cloudfunctions2_function.query.service_config[0].ingress_settings == "ALLOW_INTERNAL_AND_GCLB"
    error_message = "Nobody goes round the load balancer."
  }
  assert {
    condition     = length(google_compute_backend_bucket.images) == 0 && length(google_compute_url_map.front[0].path_matcher[0].path_rule) == 0
    error_message = "A backend bucket would show pictures without a sign-in."
  }
  assert {
    condition     = !contains(keys(google_cloudfunctions2_function.query.service_config[0].environment_variables), "IMAGE_BASE_URL")
    error_message = "Pictures are of the page's own host."
  }
  assert {
    condition = { for rule in google_compute_security_policy.front[0].rule : rule.priority => rule.rate_limit_options[0].rate_limit_threshold[0].count if rule.action == "throttle" } == {
      "900"  = 24 * 60
      "1000" = 60
    }
    error_message = "Pictures do not use up the searches of a client."
  }
  assert {
    condition = (
      google_monitoring_uptime_check_config.ready.http_check[0].service_agent_authentication[0].type == "OIDC_TOKEN"
      && google_monitoring_uptime_check_config.ready.monitored_resource[0].labels["host"] == trimprefix(google_cloudfunctions2_function.query.service_config[0].uri, "https://")
    )
    error_message = "The uptime check asks the function itself, with a token: it cannot sign in."
  }
  assert {
    condition     = output.api_url == "https://search.example.com" && contains(keys(google_project_service.api), "iap")
    error_message = "The domain is the one way in."
  }
}

run "iap_is_refused_in_a_project_of_no_organisation" {
  command = plan

  override_data {
    target = data.google_project.this
    values = { number = "123456789012", org_id = "", folder_id = "" }
  }

  variables {
    door           = "iap"
    domain         = "search.example.com"
    iap_members    = ["user:one@example.com"]
    private_images = true
  }

  expect_failures = [google_compute_backend_service.query]
}

# What is wrong with a variable keeps those that look at it from being judged. What needs no valid door is in
# variables.tftest.hcl.

run "iap_is_refused_for_nobody_and_with_public_images" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    door   = "iap"
    domain = "search.example.com"
  }

  expect_failures = [var.iap_members, var.private_images]
}

run "iap_is_refused_for_everyone" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    door           = "iap"
    domain         = "search.example.com"
    iap_members    = ["allUsers"]
    private_images = true
    app_enabled    = true # which cannot sign in
    app_image      = "registry.example.com/app@sha256:1111111111111111111111111111111111111111111111111111111111111111"
  }

  expect_failures = [var.app_enabled, var.iap_members]
}
