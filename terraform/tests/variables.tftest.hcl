# What bad input gets: each is refused at plan, and where variables.tf says it, in a module of that file and what it
# reads: a plan of everything takes thirty times as long. That the message says what to write instead is held by
# tests/unit/test_terraform.py.

mock_provider "google" {}

variables {
  project_id        = "example-project"
  inference_image   = "registry.example.com/inference@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  function_archives = { query = "tests/empty.zip", fetch = "tests/empty.zip" }
}

run "refuses_values_of_the_wrong_form" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    project_id                  = "My Project"
    region                      = "europe-west4-a"
    inference_image             = "registry.example.com/inference:latest"
    clip_revision               = "main"
    previous_clip_revision      = "0123abc"
    embedding_dimension         = 0
    other_embedding_dimensions  = [0]
    function_archives           = { query = "../build/absent.zip" }
    image_sources               = ["pixabay", "flickr"]
    pixabay_key_version         = "12345678-0123456789abcdef012345678"
    firestore_database          = "Catalog"
    instances                   = { query = { max = 0 } }
    pools                       = { language = "eo" }
    rate_limit_per_minute       = 0
    new_keywords_per_minute     = 0
    new_keywords_per_day        = 0
    catalog_searches_per_minute = 0
    backup_weeks                = 1.5
    catalog_searches_per_day    = -1
    dollars_per_day             = 0
    api_key                     = { secret = "projects/p/secrets/key" }
    allowed_origins             = ["https://example.com/"]
    domain                      = "https://example.com"
    retention_days              = 0.5
    images_max_age_days         = 31
    alert_email                 = "ops"
    notification_channels       = ["pagerduty"]
    budget                      = { billing_account = "mine", monthly_amount = 10 }
    state_bucket                = "gs://state"
    collections_schedule        = "weekly"
  }

  expect_failures = [
    var.project_id,
    var.region,
    var.inference_image,
    var.clip_revision,
    var.previous_clip_revision,
    var.embedding_dimension,
    var.other_embedding_dimensions,
    var.function_archives,
    var.image_sources,
    var.pixabay_key_version,
    var.firestore_database,
    var.instances,
    var.pools,
    var.rate_limit_per_minute,
    var.new_keywords_per_minute,
    var.new_keywords_per_day,
    var.catalog_searches_per_minute,
    var.catalog_searches_per_day,
    var.backup_weeks,
    var.dollars_per_day,
    var.api_key,
    var.allowed_origins,
    var.domain,
    var.retention_days,
    var.images_max_age_days,
    var.alert_email,
    var.notification_channels,
    var.budget,
    var.state_bucket,
    var.collections_schedule,
  ]
}

run "refuses_values_just_out_of_bounds" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    project_id                  = "123456789012"
    region                      = "us-west1"
    inference_image             = "registry.example.com/inference@sha256:0123"
    source_contact              = "Ann (ann@example.org)"
    embedding_dimension         = 2049
    other_embedding_dimensions  = [512, 2049]
    instances                   = { fetch = { min = 6, max = 5 } }
    pools                       = { size = 2 }
    rate_limit_per_minute       = 10001
    new_keywords_per_minute     = 10001
    new_keywords_per_day        = 1000001
    catalog_searches_per_minute = 10001
    catalog_searches_per_day    = 10000001
    backup_weeks                = 15
    dollars_per_day             = 100001
    api_key                     = { secret = "key", version = "0" }
    allowed_origins             = ["*", "https://example.com"]
    retention_days              = 3661
    images_max_age_days         = 3661
    collections_schedule        = "60 4 * * 0"
    drift_schedule              = "41 5 * * 8"
    update_schedule             = "11 24 1 * *"
    postgres                    = { tier = "db-custom-2-14336" } # 7 GB for each CPU
    budget                      = { billing_account = "012345-6789AB-CDEF01", monthly_amount = 0 }
  }

  expect_failures = [
    var.project_id,
    var.region,
    var.inference_image,
    var.source_contact,
    var.embedding_dimension,
    var.other_embedding_dimensions,
    var.instances,
    var.pools,
    var.rate_limit_per_minute,
    var.new_keywords_per_minute,
    var.new_keywords_per_day,
    var.catalog_searches_per_minute,
    var.catalog_searches_per_day,
    var.backup_weeks,
    var.dollars_per_day,
    var.api_key,
    var.allowed_origins,
    var.retention_days,
    var.images_max_age_days,
    var.collections_schedule,
    var.drift_schedule,
    var.update_schedule,
    var.postgres,
    var.budget,
  ]
}

run "refuses_what_does_not_fit_together" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    inference_profile          = "split"
    region                     = "us-west1"
    inference_image            = ""
    embedding_dimension        = 1.5
    other_embedding_dimensions = [1.5]
    memorystore_enabled        = true # which has a subnet
    instances                  = { query = { max = 100 } }
    pools                      = { size = 501 }
    collections_schedule       = "* * * * *"  # each minute
    update_schedule            = "11 * * * *" # each hour, of 80 minutes
    postgres                   = { tier = "db-custom-3-12288" }
    image_sources              = ["openverse", "openverse"]
    budget                     = { billing_account = "012345-6789AB-CDEF01", monthly_amount = 10, currency = "€" }
  }

  expect_failures = [
    var.region,
    var.inference_image,
    var.embedding_dimension,
    var.other_embedding_dimensions,
    var.instances,
    var.pools,
    var.collections_schedule,
    var.update_schedule,
    var.postgres,
    var.image_sources,
    var.budget,
  ]
}

run "refuses_what_names_no_model" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    clip_model          = "./model"
    previous_clip_model = "bset"
  }

  expect_failures = [
    var.clip_model,
    var.previous_clip_model,
  ]
}

run "refuses_a_hub_id_that_is_too_long" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    clip_model             = "someone/${join("", [for _ in range(97) : "a"])}"
    clip_revision          = "0123456789abcdef0123456789abcdef01234567"
    previous_clip_model    = "${join("", [for _ in range(97) : "a"])}/clip"
    previous_clip_revision = "0123456789abcdef0123456789abcdef01234567"
  }

  expect_failures = [
    var.clip_model,
    var.previous_clip_model,
  ]
}

run "refuses_a_hub_id_that_the_hub_would_not_give" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    clip_model             = "someone/tiny--clip"
    clip_revision          = "0123456789abcdef0123456789abcdef01234567"
    previous_clip_model    = "someone/tiny-clip.git"
    previous_clip_revision = "0123456789abcdef0123456789abcdef01234567"
  }

  expect_failures = [
    var.clip_model,
    var.previous_clip_model,
  ]
}

run "takes_a_hub_id_as_long_as_one_may_be" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    clip_model             = "someone/${join("", [for _ in range(96) : "a"])}"
    clip_revision          = "0123456789abcdef0123456789abcdef01234567"
    previous_clip_model    = "${join("", [for _ in range(96) : "a"])}/clip"
    previous_clip_revision = "0123456789abcdef0123456789abcdef01234567"
  }
}

run "refuses_models_of_another_length" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    clip_model                 = "best"
    clip_revision              = "0123456789abcdef0123456789abcdef01234567"
    previous_clip_model        = "small"
    previous_clip_revision     = "0123456789abcdef0123456789abcdef01234567"
    embedding_dimension        = 384
    other_embedding_dimensions = [192]
    door                       = "balancer"
    kms_key                    = "projects/their-keys/locations/europe-west4/keyRings/ring/cryptoKeys/key/cryptoKeyVersions/1"
  }

  expect_failures = [
    var.clip_model,
    var.door,
    var.kms_key,
    var.previous_clip_model,
  ]
}

run "refuses_models_of_the_hub_without_a_commit" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    clip_model                 = "best"
    previous_clip_model        = "someone/tiny-clip"
    other_embedding_dimensions = [768]
  }

  expect_failures = [
    var.clip_model,
    var.previous_clip_model,
  ]
}

run "takes_a_change_of_the_model_and_a_folder" {
  command = plan

  variables {
    clip_model                 = "best"
    clip_revision              = "0123456789abcdef0123456789abcdef01234567"
    previous_clip_model        = "models/demo"
    other_embedding_dimensions = [768, 192]
  }
}

run "takes_the_small_model_by_name" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    clip_model = "small"
  }
}

run "refuses_commons_without_a_contact" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    image_sources = ["openverse", "commons"]
    shared_network = { # which nothing would be in
      network    = "projects/their-network/global/networks/shared"
      subnetwork = "projects/their-network/regions/europe-west4/subnetworks/search"
      cidr       = "10.0.0.0/26"
    }
    iap_members = ["group:search@example.com"] # whom nobody asks
  }

  expect_failures = [var.source_contact, var.iap_members, var.shared_network]
}

run "refuses_no_source_at_all" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    image_sources       = []
    memorystore_enabled = true
    shared_network = { # smaller than Direct VPC egress takes
      network    = "projects/their-network/global/networks/shared"
      subnetwork = "projects/their-network/regions/europe-west4/subnetworks/search"
      cidr       = "10.0.0.0/27"
    }
    kms_key        = "projects/their-keys/locations/global/keyRings/ring/cryptoKeys/key"
    door           = "iap" # without a domain
    iap_members    = ["group:search@example.com"]
    private_images = true
  }

  expect_failures = [var.image_sources, var.kms_key, var.door, var.shared_network]
}

run "refuses_a_profile_and_an_orientation_that_there_are_not" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    inference_profile = "tpu"
    pools             = { orientation = "square" }
    instances         = { query = { max = 2.5 } }
    door              = "iap" # beside pages of another origin
    domain            = "search.example.com"
    allowed_origins   = ["https://app.example.com"]
    iap_members       = ["group:search@example.com"]
    private_images    = true
  }

  expect_failures = [
    var.door,
    var.inference_profile,
    var.pools,
    var.instances,
  ]
}

# By a GPU, so that each profile has a plan in which nothing is made up.
run "takes_the_upper_bounds" {
  command = plan

  variables {
    region                      = "us-central1"
    inference_profile           = "gpu"
    embedding_dimension         = 2048
    rate_limit_per_minute       = 10000
    new_keywords_per_minute     = 10000
    new_keywords_per_day        = 1000000
    catalog_searches_per_minute = 10000
    catalog_searches_per_day    = 10000000
    backup_weeks                = 14
    dollars_per_day             = 100000
    api_key                     = { secret = "key", version = "12" }
    retention_days              = 3660
    images_max_age_days         = 3660
    state_bucket                = "example-project-terraform-state"
    collections_schedule        = "59 0-23/6,4 */2 JAN-MAR,12 SUN-SAT"
    drift_schedule              = "59 23 31 12 7"
    postgres                    = { tier = "db-custom-96-638976", disk_gb = 65536 }
    pools                       = { size = 500, orientation = "vertical", language = "zh" }
    allowed_origins             = ["*"]
    memorystore_enabled         = true
    instances                   = { query = { max = 22 } } # with the others 30, half of the subnet's addresses
  }

  # More CPUs than a new project has: a warning.
  expect_failures = [check.quotas]
}

run "takes_the_lower_bounds_and_many_instances_without_a_subnet" {
  command = plan

  variables {
    region                      = "us-west1"
    inference_profile           = "cpu"
    embedding_dimension         = 1
    rate_limit_per_minute       = 1
    new_keywords_per_minute     = 1
    new_keywords_per_day        = 1
    catalog_searches_per_minute = 1
    backup_weeks                = 0
    catalog_searches_per_day    = 0
    dollars_per_day             = 0.5
    api_key                     = { secret = "key" }
    pools                       = { size = 3 }
    allowed_origins             = ["http://localhost:8080", "https://app.example.com"]
    instances                   = { query = { max = 100 } }
    pixabay_key_version         = "2"
    state_bucket                = "example-project-terraform-state"
  }

  expect_failures = [check.quotas]
}

run "warns_of_scorers_and_gpus_with_more_memory_than_a_new_project_has" {
  command = plan

  variables {
    instances = { query = { max = 4 }, fetch = { max = 12 }, scorer = { max = 11 }, inference = { max = 3 } }
  }

  assert {
    condition     = join(",", keys(local.asks_for_more)) == "inference,scorer" && local.asks_for_more["scorer"].memory_gib == 44
    error_message = "Eleven scorers of 4 GiB, and not the twelve fetchers."
  }
  assert {
    condition     = local.asks_for_more["inference"].memory_gib == 48
    error_message = "Each GPU comes with 16 GiB."
  }

  expect_failures = [check.quotas]
}
