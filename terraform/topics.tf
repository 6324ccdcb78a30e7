# imagesearch/deployment/topics.py is the one table of topics and subscriptions; a test holds this to it.

locals {
  max_delivery_attempts = 15 # over an hour of rests

  workers = {
    fetch-jobs = {
      service              = "fetch"
      path                 = "/"
      ack_deadline_seconds = 600
    }
    embed-batches = {
      service              = "inference"
      path                 = "/events/embed"
      ack_deadline_seconds = 600
    }
    forget-jobs = {
      service              = "fetch"
      path                 = "/forget"
      dead_letter_path     = "/forget/dead-letter"
      ack_deadline_seconds = 600
    }
    collect-jobs = {
      service              = "fetch"
      path                 = "/collect"
      dead_letter_path     = "/collect/dead-letter"
      ack_deadline_seconds = 600
    }
    bucket-events = {
      service              = "fetch"
      path                 = "/bucket-events"
      dead_letter_path     = "/bucket-events/dead-letter"
      ack_deadline_seconds = 600
    }
  }

  # The URL of a service is also what the tokens of its pushes are for, which Cloud Run checks.
  push_urls = {
    fetch     = google_cloudfunctions2_function.fetch.service_config[0].uri
    inference = google_cloud_run_v2_service.inference["inference"].uri
  }

  # Agents of Google's, which tools/first_deployment.sh has made: one must be there to be granted anything.
  pubsub_agent    = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
  scheduler_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-cloudscheduler.iam.gserviceaccount.com"
}

# Messages carry schema_version, kind and, on a pool, pool_id as attributes, and are checked when read;
# those of bucket-events are Cloud Storage's own.
resource "google_pubsub_topic" "work" {
  for_each = local.workers

  name         = "${local.prefix}${each.key}"
  kms_key_name = var.kms_key

  depends_on = [google_kms_crypto_key_iam_member.agent_uses_key, google_project_service.api]
}

resource "google_pubsub_topic" "dead_letter" {
  for_each = local.workers

  name         = "${local.prefix}${each.key}-dead-letter"
  kms_key_name = var.kms_key

  depends_on = [google_kms_crypto_key_iam_member.agent_uses_key, google_project_service.api]
}

resource "google_pubsub_subscription" "work" {
  for_each = local.workers

  name  = "${local.prefix}${each.key}"
  topic = google_pubsub_topic.work[each.key].id

  ack_deadline_seconds       = each.value.ack_deadline_seconds
  message_retention_duration = "604800s"

  push_config {
    push_endpoint = "${local.push_urls[each.value.service]}${each.value.path}"
    oidc_token {
      service_account_email = google_service_account.push.email
      audience              = local.push_urls[each.value.service]
    }
  }

  retry_policy {
    minimum_backoff = "5s"
    maximum_backoff = "600s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letter[each.key].id
    max_delivery_attempts = local.max_delivery_attempts
  }

  # By default Pub/Sub deletes a subscription that was idle for 31 days.
  expiration_policy {
    ttl = ""
  }

  depends_on = [
    google_cloud_run_v2_service_iam_member.push_calls_fetch,
    google_cloud_run_v2_service_iam_member.push_calls_inference,
    google_pubsub_topic_iam_member.agent_publishes_dead_letters,
    google_service_account_iam_member.agent_mints_push_tokens,
  ]
}

# A second door of the fetch function marks the pool failed, or says what was not done. It has no dead-letter
# topic: it always acks.
resource "google_pubsub_subscription" "dead_letter" {
  for_each = local.workers

  name  = "${local.prefix}${each.key}-dead-letter"
  topic = google_pubsub_topic.dead_letter[each.key].id

  ack_deadline_seconds       = 600 # jobs that wait for their turn may hold all threads of the function
  message_retention_duration = "604800s"

  push_config {
    push_endpoint = "${local.push_urls["fetch"]}${try(each.value.dead_letter_path, "/dead-letter")}"
    oidc_token {
      service_account_email = google_service_account.push.email
      audience              = local.push_urls["fetch"]
    }
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  expiration_policy {
    ttl = ""
  }

  depends_on = [
    google_cloud_run_v2_service_iam_member.push_calls_fetch,
    google_service_account_iam_member.agent_mints_push_tokens,
  ]
}

# The same messages for people to look at.
resource "google_pubsub_subscription" "dead_letter_kept" {
  for_each = local.workers

  name  = "${local.prefix}${each.key}-dead-letter-kept"
  topic = google_pubsub_topic.dead_letter[each.key].id

  message_retention_duration = "604800s"

  expiration_policy {
    ttl = ""
  }
}

# A dead letter is published to its topic and acked on its subscription by Pub/Sub's own agent.
resource "google_pubsub_topic_iam_member" "agent_publishes_dead_letters" {
  for_each = google_pubsub_topic.dead_letter

  topic  = each.value.id
  role   = "roles/pubsub.publisher"
  member = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "agent_acks_dead_letters" {
  for_each = google_pubsub_subscription.work

  subscription = each.value.id
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

resource "google_pubsub_topic_iam_member" "query_publishes_fetch_jobs" {
  topic  = google_pubsub_topic.work["fetch-jobs"].id
  role   = "roles/pubsub.publisher"
  member = google_service_account.query.member
}

resource "google_pubsub_topic_iam_member" "fetch_publishes_embed_batches" {
  topic  = google_pubsub_topic.work["embed-batches"].id
  role   = "roles/pubsub.publisher"
  member = google_service_account.fetch.member
}

# Whose token each push carries. It may call the two services, and nothing else.
resource "google_service_account" "push" {
  account_id   = "${local.name}-push"
  display_name = "${local.name}: pushes of Pub/Sub"

  depends_on = [google_project_service.api]
}

# Pub/Sub's agent mints these tokens. An agent that is made on request is not granted what one gets that
# Google makes by itself, and without this no push leaves; it may mint this one account's, and no other.
# Source: cloud.google.com/iam/docs/create-service-agents, read 2026-11.
resource "google_service_account_iam_member" "agent_mints_push_tokens" {
  # Written out for the same reason as in deployer.tf.
  service_account_id = "projects/${var.project_id}/serviceAccounts/${google_service_account.push.account_id}@${var.project_id}.iam.gserviceaccount.com"
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = local.pubsub_agent
}
