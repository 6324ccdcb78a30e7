# With a load balancer of one's own domain; without: defaults.tftest.hcl.

mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  project_id        = "example-project"
  inference_image   = "registry.example.com/inference@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  function_archives = { query = "tests/empty.zip", fetch = "tests/empty.zip" }
}

run "with_a_domain_the_function_refuses_direct_calls" {
  command = plan

  variables {
    domain                = "search.example.com"
    allowed_origins       = ["https://app.example.com"]
    rate_limit_per_minute = 60
  }

  assert {
    condition     = google_cloudfunctions2_function.query.service_config[0].ingress_settings == "ALLOW_INTERNAL_AND_GCLB"
    error_message = "Only the load balancer reaches the function."
  }
  assert {
    condition     = google_cloudfunctions2_function.query.service_config[0].environment_variables["TRUSTED_PROXIES"] == "2"
    error_message = "The load balancer is a proxy more."
  }
  assert {
    condition     = !google_compute_backend_service.query[0].iap[0].enabled
    error_message = "Nobody is asked to sign in, also after a door that did."
  }
  assert {
    condition     = one(google_compute_managed_ssl_certificate.front[0].managed[0].domains) == "search.example.com"
    error_message = "The certificate is the domain's."
  }
  assert {
    condition     = google_compute_url_map.redirect[0].default_url_redirect[0].https_redirect && google_compute_global_forwarding_rule.http[0].target == google_compute_target_http_proxy.redirect[0].id
    error_message = "HTTP is sent to HTTPS."
  }
  assert {
    condition     = google_compute_global_forwarding_rule.https[0].port_range == "443" && google_compute_global_forwarding_rule.http[0].port_range == "80"
    error_message = "On the usual ports."
  }
  assert {
    condition = alltrue([for one in [google_compute_global_forwarding_rule.https[0], google_compute_global_forwarding_rule.http[0], google_compute_backend_service.query[0]] :
      one.load_balancing_scheme == "EXTERNAL_MANAGED"
    ])
    error_message = "All parts are of the same kind of load balancer."
  }
  assert {
    condition     = google_compute_backend_service.query[0].security_policy == google_compute_security_policy.front[0].id
    error_message = "Cloud Armor stands before the function."
  }
  assert {
    condition     = one([for rule in google_compute_security_policy.front[0].rule : rule.rate_limit_options[0].rate_limit_threshold[0].count if rule.action == "throttle"]) == 60
    error_message = "It throttles at the variable's number."
  }
  assert {
    condition     = contains([for rule in google_compute_security_policy.front[0].rule : rule.priority if rule.action == "allow"], 2147483647)
    error_message = "A policy needs a last rule."
  }
  assert {
    condition     = google_compute_backend_bucket.images[0].enable_cdn && google_compute_backend_bucket.images[0].bucket_name == google_storage_bucket.images.name
    error_message = "Images come through the CDN."
  }
  assert {
    condition = (
      contains(one(google_compute_url_map.front[0].path_matcher[0].path_rule).paths, "/images/*")
      && google_cloudfunctions2_function.query.service_config[0].environment_variables["IMAGE_BASE_URL"] == "https://search.example.com/images"
    )
    error_message = "The function says where they are."
  }
  assert {
    condition     = one(google_storage_bucket.images.cors).origin == tolist(["*"]) && google_cloudfunctions2_function.query.service_config[0].environment_variables["ALLOWED_ORIGINS"] == "https://app.example.com"
    error_message = "The front end may call the API, and every page fetch the images."
  }
  assert {
    condition     = google_monitoring_uptime_check_config.ready.monitored_resource[0].labels["host"] == "search.example.com"
    error_message = "The uptime check takes the way of the callers."
  }
  assert {
    condition     = output.api_url == "https://search.example.com" && output.load_balancer_address == google_compute_global_address.front[0].address
    error_message = "The outputs say so."
  }
  assert {
    condition = (
      google_cloudfunctions2_function.query.service_config[0].environment_variables["RATE_LIMIT_PER_MINUTE"] == "60"
      && one([for rule in google_compute_security_policy.front[0].rule : rule.rate_limit_options[0].rate_limit_threshold[0].count if rule.action == "throttle"]) == 60
    )
    error_message = "Both have the variable's number."
  }
}
