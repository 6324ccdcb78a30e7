# The two functions: query is the one door for people, fetch is called by Pub/Sub alone.

locals {
  uses_pixabay = contains(var.image_sources, "pixabay")

  # Wikimedia allows two downloads at a time, which a process sees to for itself, as it does for all
  # quotas where there is no Memorystore.
  most_fetchers = (
    contains(var.image_sources, "commons") || (contains(var.image_sources, "openverse") && !var.memorystore_enabled)
    ? 1 : var.instances.fetch.max
  )

  least_fetchers = try(min(local.least_instances["fetch"], local.most_fetchers), null) # null stays null

  source_settings = var.image_sources == tolist(["pixabay"]) ? {} : { SOURCE = join(",", var.image_sources) }
  contact_setting = var.source_contact == null ? {} : { SOURCE_CONTACT = var.source_contact }

  # concurrency as in imagesearch/deployment/services.py, with a thread for each request at a time.
  functions = {
    query = { concurrency = 80, memory = "512M", timeout_seconds = 180 } # a wait, and a scorer that starts
    # A wait, and the work; a picture of a bucket takes up to 1 GB to decode, of which one is at a time.
    fetch = { concurrency = 16, memory = local.has_collections ? "2G" : "1G", timeout_seconds = 600 }
  }

  function_settings = {
    query = merge(
      local.settings,
      local.source_settings,
      {
        IMAGES_BUCKET               = google_storage_bucket.images.name
        PRIVATE_IMAGES              = tostring(var.private_images)
        SCORER_URL                  = google_cloud_run_v2_service.inference[local.scorer].uri
        ALLOWED_ORIGINS             = join(",", var.allowed_origins)
        TRUSTED_PROXIES             = var.domain == null ? "1" : "2"
        RATE_LIMIT_PER_MINUTE       = tostring(var.rate_limit_per_minute)
        NEW_KEYWORDS_PER_MINUTE     = tostring(var.new_keywords_per_minute)
        NEW_KEYWORDS_PER_DAY        = tostring(var.new_keywords_per_day)
        CATALOG_SEARCHES_PER_MINUTE = tostring(var.catalog_searches_per_minute)
        CATALOG_SEARCHES_PER_DAY    = tostring(var.catalog_searches_per_day)
        DOLLARS_PER_DAY             = tostring(var.dollars_per_day)
        PAID_GPU                    = !local.has_gpu ? "" : local.scorer == "scorer" ? "embedder" : "scorer"
        POOL_SIZE                   = tostring(var.pools.size)
        KEYWORD_LANGUAGE            = var.pools.language
        ORIENTATION                 = var.pools.orientation
        IMAGE_CATEGORY              = var.pools.category
        IMAGE_COLORS                = var.pools.colors
        SAFESEARCH                  = tostring(var.pools.safesearch)
      },
      local.scorer == "inference" ? {} : {
        EMBEDDER_URL = google_cloud_run_v2_service.inference["inference"].uri
      },
      var.domain == null || var.private_images ? {} : { IMAGE_BASE_URL = "https://${var.domain}/images" },
    )
    fetch = merge(
      local.settings,
      local.source_settings,
      local.contact_setting,
      { IMAGES_BUCKET = google_storage_bucket.images.name },
    )
  }

  pixabay_secrets = !local.uses_pixabay ? {} : {
    PIXABAY_API_KEY = {
      secret  = google_secret_manager_secret.pixabay_key[0].secret_id
      version = var.pixabay_key_version
    }
  }
}

resource "google_service_account" "query" {
  account_id   = "${local.name}-query"
  display_name = "${local.name}: the query function"

  depends_on = [google_project_service.api]
}

resource "google_service_account" "fetch" {
  account_id   = "${local.name}-fetch"
  display_name = "${local.name}: the fetch function"

  depends_on = [google_project_service.api]
}

resource "google_cloudfunctions2_function" "query" {
  name         = "${local.name}-query"
  location     = var.region
  kms_key_name = var.kms_key # that of docker_repository, too, as Google asks

  build_config {
    runtime           = "python312"
    entry_point       = "query"
    service_account   = google_service_account.build.id
    docker_repository = google_artifact_registry_repository.images.id
    source {
      storage_source {
        bucket = google_storage_bucket.sources.name
        object = local.archives.query
      }
    }
  }

  service_config {
    service_account_email            = google_service_account.query.email
    ingress_settings                 = var.domain == null ? "ALLOW_ALL" : "ALLOW_INTERNAL_AND_GCLB"
    available_cpu                    = "1"
    available_memory                 = local.functions.query.memory
    timeout_seconds                  = local.functions.query.timeout_seconds
    max_instance_request_concurrency = local.functions.query.concurrency
    min_instance_count               = local.least_instances["query"]
    max_instance_count               = var.instances.query.max

    environment_variables = merge(local.function_settings.query, {
      PYDANTIC_DISABLE_PLUGINS = "__all__"
      THREADS                  = tostring(local.functions.query.concurrency)
    })

    dynamic "secret_environment_variables" {
      for_each = merge(local.redis_secrets, local.library_secrets, local.api_key_secrets)
      content {
        key        = secret_environment_variables.key
        project_id = var.project_id
        secret     = secret_environment_variables.value.secret
        version    = secret_environment_variables.value.version
      }
    }

    direct_vpc_egress = length(local.egress) == 0 ? null : "VPC_EGRESS_PRIVATE_RANGES_ONLY"
    dynamic "direct_vpc_network_interface" {
      for_each = local.egress
      content {
        network    = direct_vpc_network_interface.value.network
        subnetwork = direct_vpc_network_interface.value.subnetwork
      }
    }
  }

  # The traffic is tools/roll_out.py's. What is there is sent back with each update: where a revision is named, a new
  # one gets none of it. Source: https://github.com/GoogleCloudPlatform/magic-modules/pull/16981
  lifecycle {
    ignore_changes = [service_config[0].all_traffic_on_latest_revision]
  }

  depends_on = [
    google_artifact_registry_repository_iam_member.build_writes,
    google_cloud_run_v2_service_iam_member.query_calls_inference,
    google_kms_crypto_key_iam_member.agent_uses_key,
    google_project_iam_member.build,
    google_project_iam_member.workload_uses_catalog,
    google_pubsub_topic_iam_member.query_publishes_fetch_jobs,
    google_secret_manager_secret_iam_member.query_reads_api_key,
    google_secret_manager_secret_iam_member.workload_reads_database_url,
    google_secret_manager_secret_iam_member.workload_reads_redis_auth,
    google_storage_bucket_iam_member.query_reads_images,
  ]
}

resource "google_cloudfunctions2_function" "fetch" {
  name         = "${local.name}-fetch"
  location     = var.region
  kms_key_name = var.kms_key # that of docker_repository, too, as Google asks

  build_config {
    runtime           = "python312"
    entry_point       = "fetch"
    service_account   = google_service_account.build.id
    docker_repository = google_artifact_registry_repository.images.id
    source {
      storage_source {
        bucket = google_storage_bucket.sources.name
        object = local.archives.fetch
      }
    }
  }

  service_config {
    service_account_email            = google_service_account.fetch.email
    ingress_settings                 = "ALLOW_INTERNAL_ONLY" # pushes of the same project are internal
    available_cpu                    = "1"
    available_memory                 = local.functions.fetch.memory
    timeout_seconds                  = local.functions.fetch.timeout_seconds
    max_instance_request_concurrency = local.functions.fetch.concurrency
    min_instance_count               = local.least_fetchers
    max_instance_count               = local.most_fetchers

    environment_variables = merge(local.function_settings.fetch, {
      PYDANTIC_DISABLE_PLUGINS = "__all__"
      THREADS                  = tostring(local.functions.fetch.concurrency)
    })

    dynamic "secret_environment_variables" {
      for_each = merge(local.redis_secrets, local.library_secrets, local.pixabay_secrets)
      content {
        key        = secret_environment_variables.key
        project_id = var.project_id
        secret     = secret_environment_variables.value.secret
        version    = secret_environment_variables.value.version
      }
    }

    direct_vpc_egress = length(local.egress) == 0 ? null : "VPC_EGRESS_PRIVATE_RANGES_ONLY"
    dynamic "direct_vpc_network_interface" {
      for_each = local.egress
      content {
        network    = direct_vpc_network_interface.value.network
        subnetwork = direct_vpc_network_interface.value.subnetwork
      }
    }
  }

  # The traffic is tools/roll_out.py's. What is there is sent back with each update: where a revision is named, a new
  # one gets none of it. Source: https://github.com/GoogleCloudPlatform/magic-modules/pull/16981
  lifecycle {
    ignore_changes = [service_config[0].all_traffic_on_latest_revision]
  }

  depends_on = [
    google_artifact_registry_repository_iam_member.build_writes,
    google_kms_crypto_key_iam_member.agent_uses_key,
    google_project_iam_member.build,
    google_project_iam_member.workload_uses_catalog,
    google_pubsub_topic_iam_member.fetch_publishes_collect_jobs,
    google_pubsub_topic_iam_member.fetch_publishes_embed_batches,
    google_secret_manager_secret_iam_member.fetch_reads_pixabay_key,
    google_secret_manager_secret_iam_member.workload_reads_database_url,
    google_secret_manager_secret_iam_member.workload_reads_redis_auth,
    google_storage_bucket_iam_member.fetch_lists_collections,
    google_storage_bucket_iam_member.fetch_reads_collections,
    google_storage_bucket_iam_member.fetch_writes_images,
  ]
}

# A function of the second generation is called by the rights of the Cloud Run service of its name. Who calls
# query is in door.tf.
resource "google_cloud_run_v2_service_iam_member" "push_calls_fetch" {
  name     = google_cloudfunctions2_function.fetch.name
  location = var.region
  role     = "roles/run.invoker"
  member   = google_service_account.push.member

  lifecycle {
    replace_triggered_by = [google_cloudfunctions2_function.fetch.id]
  }
}
