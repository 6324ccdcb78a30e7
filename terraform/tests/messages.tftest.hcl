# Topics and subscriptions; that they equal imagesearch/deployment/topics.py is in tests/unit/test_terraform.py.

mock_provider "google" {}

override_data {
  target = data.google_project.this
  values = { number = "123456789012" }
}

variables {
  project_id        = "example-project"
  inference_image   = "registry.example.com/inference@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  function_archives = { query = "tests/empty.zip", fetch = "tests/empty.zip" }
}

run "messages" {
  command = apply

  assert {
    condition = alltrue([for one in concat(values(google_pubsub_subscription.work), values(google_pubsub_subscription.dead_letter)) :
      length(one.push_config[0].oidc_token) == 1
    ])
    error_message = "Every push carries a token (OIDC)."
  }
  assert {
    condition = alltrue([for one in concat(values(google_pubsub_subscription.work), values(google_pubsub_subscription.dead_letter)) : (
      one.push_config[0].oidc_token[0].service_account_email == google_service_account.push.email
      && startswith(one.push_config[0].push_endpoint, one.push_config[0].oidc_token[0].audience)
    )])
    error_message = "The token is the push account's, for the service that is pushed to."
  }
  assert {
    condition     = alltrue([for name, one in google_pubsub_subscription.work : one.dead_letter_policy[0].dead_letter_topic == google_pubsub_topic.dead_letter[name].id])
    error_message = "Work that fails goes to a dead-letter topic that exists."
  }
  assert {
    condition = alltrue([for name in keys(google_pubsub_topic.dead_letter) : (
      google_pubsub_subscription.dead_letter[name].topic == google_pubsub_topic.dead_letter[name].id
      && google_pubsub_subscription.dead_letter_kept[name].topic == google_pubsub_topic.dead_letter[name].id
      && length(google_pubsub_subscription.dead_letter_kept[name].push_config) == 0
    )])
    error_message = "Each dead-letter topic has a door that marks the pool, and a place to look."
  }
  assert {
    condition = alltrue([for name, one in google_pubsub_topic.dead_letter : (
      google_pubsub_topic_iam_member.agent_publishes_dead_letters[name].topic == one.id
      && google_pubsub_topic_iam_member.agent_publishes_dead_letters[name].role == "roles/pubsub.publisher"
      && google_pubsub_topic_iam_member.agent_publishes_dead_letters[name].member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
    )])
    error_message = "Pub/Sub's agent may publish dead letters."
  }
  assert {
    condition = alltrue([for name, one in google_pubsub_subscription.work : (
      google_pubsub_subscription_iam_member.agent_acks_dead_letters[name].subscription == one.id
      && google_pubsub_subscription_iam_member.agent_acks_dead_letters[name].role == "roles/pubsub.subscriber"
      && google_pubsub_subscription_iam_member.agent_acks_dead_letters[name].member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
    )])
    error_message = "Pub/Sub's agent may ack what it moves there."
  }
  assert {
    condition = (
      google_service_account_iam_member.agent_mints_push_tokens.service_account_id == "projects/example-project/serviceAccounts/imagesearch-push@example-project.iam.gserviceaccount.com"
      && google_service_account_iam_member.agent_mints_push_tokens.role == "roles/iam.serviceAccountTokenCreator"
      && google_service_account_iam_member.agent_mints_push_tokens.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
    )
    error_message = "Pub/Sub's agent may mint the tokens of the push account."
  }
  assert {
    condition = alltrue([for one in concat(values(google_pubsub_subscription.work), values(google_pubsub_subscription.dead_letter), values(google_pubsub_subscription.dead_letter_kept)) :
      one.expiration_policy[0].ttl == ""
    ])
    error_message = "No subscription goes when it is idle."
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_member.push_calls_fetch.member == google_service_account.push.member && google_cloud_run_v2_service_iam_member.push_calls_inference.member == google_service_account.push.member
    error_message = "The push account may call both services."
  }
}
