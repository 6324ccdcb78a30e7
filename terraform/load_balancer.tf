# With a domain: HTTPS in front of the query function, and public images through Cloud CDN. Private ones come from
# the function, since neither IAP nor a limit stands before a bucket; Cloud CDN has no part in them, as IAP takes
# none beside it: cloud.google.com/iap/docs/enabling-cloud-run, read 2026-11.

locals {
  balanced           = var.domain == null ? 0 : 1
  balances_images    = var.private_images ? 0 : local.balanced
  images_per_request = 24 # as functions/query/main.py counts those that it serves
}

resource "google_compute_global_address" "front" {
  count = local.balanced

  name = local.name

  depends_on = [google_project_service.api]
}

# The name follows the domain, so that another certificate can be made before this one goes.
resource "google_compute_managed_ssl_certificate" "front" {
  count = local.balanced

  name = "${local.name}-${substr(sha256(var.domain), 0, 8)}"
  managed {
    domains = [var.domain]
  }

  lifecycle {
    create_before_destroy = true
  }

  depends_on = [google_project_service.api]
}

resource "google_compute_ssl_policy" "front" {
  count = local.balanced

  name            = local.name
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"

  depends_on = [google_project_service.api]
}

resource "google_compute_security_policy" "front" {
  # checkov:skip=CKV_GCP_73: nothing behind it runs Java
  count = local.balanced

  name = local.name
  type = "CLOUD_ARMOR"

  dynamic "rule" {
    for_each = var.private_images ? [local.images_per_request * var.rate_limit_per_minute] : []
    content {
      action      = "throttle"
      priority    = 900
      description = "Of images, which a page loads many of for a request."
      match {
        expr {
          expression = "request.path.startsWith('/images/')"
        }
      }
      rate_limit_options {
        conform_action = "allow"
        exceed_action  = "deny(429)"
        enforce_on_key = "IP"
        rate_limit_threshold {
          count        = rule.value
          interval_sec = 60
        }
      }
    }
  }

  rule {
    action      = "throttle"
    priority    = 1000
    description = "The function's own limit, before it costs a request."
    match {
      versioned_expr = "SRC_IPS_V1"
      config {
        src_ip_ranges = ["*"]
      }
    }
    rate_limit_options {
      conform_action = "allow"
      exceed_action  = "deny(429)"
      enforce_on_key = "IP"
      rate_limit_threshold {
        count        = var.rate_limit_per_minute
        interval_sec = 60
      }
    }
  }

  rule {
    action      = "allow"
    priority    = 2147483647
    description = "The rule that every policy ends with."
    match {
      versioned_expr = "SRC_IPS_V1"
      config {
        src_ip_ranges = ["*"]
      }
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_compute_region_network_endpoint_group" "query" {
  count = local.balanced

  name                  = "${local.name}-query"
  region                = var.region
  network_endpoint_type = "SERVERLESS"
  cloud_run {
    service = google_cloudfunctions2_function.query.name
  }
}

resource "google_compute_backend_service" "query" {
  count = local.balanced

  name                  = "${local.name}-query"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"
  security_policy       = google_compute_security_policy.front[0].id

  backend {
    group = google_compute_region_network_endpoint_group.query[0].id
  }

  # With the OAuth client that Google keeps for an organisation's project. Said of the other doors, too: without the
  # block the provider keeps what the API has, so that nobody would come in after a change back.
  iap {
    enabled = local.signed_in
  }

  log_config {
    enable      = true
    sample_rate = 0.1
  }

  lifecycle {
    # Source: cloud.google.com/iap/docs/custom-oauth-configuration, read 2026-11.
    precondition {
      condition     = !local.signed_in || coalesce(data.google_project.this.org_id, "-") != "-" || coalesce(data.google_project.this.folder_id, "-") != "-"
      error_message = "door = \"iap\" needs a project of an organisation, since Google keeps an OAuth client for those alone; ${var.project_id} is of none: take door = \"everyone\" with an api_key, or move the project."
    }
  }

  depends_on = [google_cloud_run_v2_service_iam_member.agent_calls_query]
}

resource "google_compute_backend_bucket" "images" {
  count = local.balances_images

  name        = "${local.name}-images"
  bucket_name = google_storage_bucket.images.name
  enable_cdn  = true

  cdn_policy {
    # The fetch function says for how long each image may be kept.
    cache_mode         = "USE_ORIGIN_HEADERS"
    request_coalescing = true
  }
}

resource "google_compute_url_map" "front" {
  count = local.balanced

  name            = local.name
  default_service = google_compute_backend_service.query[0].id

  host_rule {
    hosts        = [var.domain]
    path_matcher = "front"
  }

  path_matcher {
    name            = "front"
    default_service = google_compute_backend_service.query[0].id

    dynamic "path_rule" {
      for_each = google_compute_backend_bucket.images
      content {
        paths   = ["/images/*"]
        service = path_rule.value.id
        route_action {
          url_rewrite {
            path_prefix_rewrite = "/" # objects have no folder
          }
        }
      }
    }
  }
}

resource "google_compute_target_https_proxy" "front" {
  count = local.balanced

  name             = local.name
  url_map          = google_compute_url_map.front[0].id
  ssl_certificates = [google_compute_managed_ssl_certificate.front[0].id]
  ssl_policy       = google_compute_ssl_policy.front[0].id
}

resource "google_compute_global_forwarding_rule" "https" {
  count = local.balanced

  name                  = "${local.name}-https"
  target                = google_compute_target_https_proxy.front[0].id
  ip_address            = google_compute_global_address.front[0].id
  port_range            = "443"
  load_balancing_scheme = "EXTERNAL_MANAGED"
}

resource "google_compute_url_map" "redirect" {
  count = local.balanced

  name = "${local.name}-redirect"
  default_url_redirect {
    https_redirect         = true
    redirect_response_code = "MOVED_PERMANENTLY_DEFAULT"
    strip_query            = false
  }

  depends_on = [google_project_service.api]
}

resource "google_compute_target_http_proxy" "redirect" {
  count = local.balanced

  name    = "${local.name}-redirect"
  url_map = google_compute_url_map.redirect[0].id
}

resource "google_compute_global_forwarding_rule" "http" {
  count = local.balanced

  name                  = "${local.name}-http"
  target                = google_compute_target_http_proxy.redirect[0].id
  ip_address            = google_compute_global_address.front[0].id
  port_range            = "80"
  load_balancing_scheme = "EXTERNAL_MANAGED"
}
