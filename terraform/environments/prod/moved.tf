# What was deployed before there were environments is this one, and stays as it is. Not to be added to: what
# is new was never elsewhere.

moved {
  from = google_artifact_registry_repository.cache
  to   = module.imagesearch.google_artifact_registry_repository.cache
}

moved {
  from = google_artifact_registry_repository.images
  to   = module.imagesearch.google_artifact_registry_repository.images
}

moved {
  from = google_artifact_registry_repository_iam_member.build_writes
  to   = module.imagesearch.google_artifact_registry_repository_iam_member.build_writes
}

moved {
  from = google_artifact_registry_repository_iam_member.deployer_pushes
  to   = module.imagesearch.google_artifact_registry_repository_iam_member.deployer_pushes
}

moved {
  from = google_artifact_registry_repository_iam_member.planner_reads_cache
  to   = module.imagesearch.google_artifact_registry_repository_iam_member.planner_reads_cache
}

moved {
  from = google_billing_account_iam_member.deployer_reads_budget
  to   = module.imagesearch.google_billing_account_iam_member.deployer_reads_budget
}

moved {
  from = google_billing_budget.month
  to   = module.imagesearch.google_billing_budget.month
}

moved {
  from = google_cloud_run_v2_service.inference
  to   = module.imagesearch.google_cloud_run_v2_service.inference
}

moved {
  from = google_cloud_run_v2_service_iam_member.deployer_updates_inference
  to   = module.imagesearch.google_cloud_run_v2_service_iam_member.deployer_updates_inference
}

moved {
  from = google_cloud_run_v2_service_iam_member.public_calls_query
  to   = module.imagesearch.google_cloud_run_v2_service_iam_member.public_calls_query
}

moved {
  from = google_cloud_run_v2_service_iam_member.push_calls_fetch
  to   = module.imagesearch.google_cloud_run_v2_service_iam_member.push_calls_fetch
}

moved {
  from = google_cloud_run_v2_service_iam_member.push_calls_inference
  to   = module.imagesearch.google_cloud_run_v2_service_iam_member.push_calls_inference
}

moved {
  from = google_cloud_run_v2_service_iam_member.query_calls_inference
  to   = module.imagesearch.google_cloud_run_v2_service_iam_member.query_calls_inference
}

moved {
  from = google_cloud_scheduler_job.forgets_unused
  to   = module.imagesearch.google_cloud_scheduler_job.forgets_unused
}

moved {
  from = google_cloud_scheduler_job.updates_collection
  to   = module.imagesearch.google_cloud_scheduler_job.updates_collection
}

moved {
  from = google_cloudfunctions2_function.fetch
  to   = module.imagesearch.google_cloudfunctions2_function.fetch
}

moved {
  from = google_cloudfunctions2_function.query
  to   = module.imagesearch.google_cloudfunctions2_function.query
}

moved {
  from = google_cloudfunctions2_function_iam_member.deployer_updates_function
  to   = module.imagesearch.google_cloudfunctions2_function_iam_member.deployer_updates_function
}

moved {
  from = google_compute_address.library
  to   = module.imagesearch.google_compute_address.library
}

moved {
  from = google_compute_backend_bucket.images
  to   = module.imagesearch.google_compute_backend_bucket.images
}

moved {
  from = google_compute_backend_service.query
  to   = module.imagesearch.google_compute_backend_service.query
}

moved {
  from = google_compute_forwarding_rule.library
  to   = module.imagesearch.google_compute_forwarding_rule.library
}

moved {
  from = google_compute_global_address.front
  to   = module.imagesearch.google_compute_global_address.front
}

moved {
  from = google_compute_global_forwarding_rule.http
  to   = module.imagesearch.google_compute_global_forwarding_rule.http
}

moved {
  from = google_compute_global_forwarding_rule.https
  to   = module.imagesearch.google_compute_global_forwarding_rule.https
}

moved {
  from = google_compute_managed_ssl_certificate.front
  to   = module.imagesearch.google_compute_managed_ssl_certificate.front
}

moved {
  from = google_compute_network.private
  to   = module.imagesearch.google_compute_network.private
}

moved {
  from = google_compute_region_network_endpoint_group.query
  to   = module.imagesearch.google_compute_region_network_endpoint_group.query
}

moved {
  from = google_compute_security_policy.front
  to   = module.imagesearch.google_compute_security_policy.front
}

moved {
  from = google_compute_ssl_policy.front
  to   = module.imagesearch.google_compute_ssl_policy.front
}

moved {
  from = google_compute_subnetwork.services
  to   = module.imagesearch.google_compute_subnetwork.services
}

moved {
  from = google_compute_target_http_proxy.redirect
  to   = module.imagesearch.google_compute_target_http_proxy.redirect
}

moved {
  from = google_compute_target_https_proxy.front
  to   = module.imagesearch.google_compute_target_https_proxy.front
}

moved {
  from = google_compute_url_map.front
  to   = module.imagesearch.google_compute_url_map.front
}

moved {
  from = google_compute_url_map.redirect
  to   = module.imagesearch.google_compute_url_map.redirect
}

moved {
  from = google_firestore_database.catalog
  to   = module.imagesearch.google_firestore_database.catalog
}

moved {
  from = google_firestore_field.expiry
  to   = module.imagesearch.google_firestore_field.expiry
}

moved {
  from = google_firestore_field.unindexed
  to   = module.imagesearch.google_firestore_field.unindexed
}

moved {
  from = google_firestore_index.files
  to   = module.imagesearch.google_firestore_index.files
}

moved {
  from = google_firestore_index.filtered
  to   = module.imagesearch.google_firestore_index.filtered
}

moved {
  from = google_firestore_index.nearest
  to   = module.imagesearch.google_firestore_index.nearest
}

moved {
  from = google_firestore_index.tagged
  to   = module.imagesearch.google_firestore_index.tagged
}

moved {
  from = google_firestore_index.used_since
  to   = module.imagesearch.google_firestore_index.used_since
}

moved {
  from = google_logging_metric.given_up
  to   = module.imagesearch.google_logging_metric.given_up
}

moved {
  from = google_logging_metric.malformed_messages
  to   = module.imagesearch.google_logging_metric.malformed_messages
}

moved {
  from = google_logging_metric.no_instance
  to   = module.imagesearch.google_logging_metric.no_instance
}

moved {
  from = google_logging_metric.ready_search_seconds
  to   = module.imagesearch.google_logging_metric.ready_search_seconds
}

moved {
  from = google_logging_metric.source_refusals
  to   = module.imagesearch.google_logging_metric.source_refusals
}

moved {
  from = google_logging_project_exclusion.searches
  to   = module.imagesearch.google_logging_project_exclusion.searches
}

moved {
  from = google_monitoring_alert_policy.inference_start
  to   = module.imagesearch.google_monitoring_alert_policy.inference_start
}

moved {
  from = google_monitoring_alert_policy.metric
  to   = module.imagesearch.google_monitoring_alert_policy.metric
}

moved {
  from = google_monitoring_alert_policy.query
  to   = module.imagesearch.google_monitoring_alert_policy.query
}

moved {
  from = google_monitoring_dashboard.overview
  to   = module.imagesearch.google_monitoring_dashboard.overview
}

moved {
  from = google_monitoring_notification_channel.email
  to   = module.imagesearch.google_monitoring_notification_channel.email
}

moved {
  from = google_monitoring_uptime_check_config.ready
  to   = module.imagesearch.google_monitoring_uptime_check_config.ready
}

moved {
  from = google_project_iam_custom_role.deployer_reads
  to   = module.imagesearch.google_project_iam_custom_role.deployer_reads
}

moved {
  from = google_project_iam_member.build
  to   = module.imagesearch.google_project_iam_member.build
}

moved {
  from = google_project_iam_member.deployer
  to   = module.imagesearch.google_project_iam_member.deployer
}

moved {
  from = google_project_iam_member.deployer_reads_the_rest
  to   = module.imagesearch.google_project_iam_member.deployer_reads_the_rest
}

moved {
  from = google_project_iam_member.planner
  to   = module.imagesearch.google_project_iam_member.planner
}

moved {
  from = google_project_iam_member.workload_uses_catalog
  to   = module.imagesearch.google_project_iam_member.workload_uses_catalog
}

moved {
  from = google_project_service.api
  to   = module.imagesearch.google_project_service.api
}

moved {
  from = google_pubsub_subscription.dead_letter
  to   = module.imagesearch.google_pubsub_subscription.dead_letter
}

moved {
  from = google_pubsub_subscription.dead_letter_kept
  to   = module.imagesearch.google_pubsub_subscription.dead_letter_kept
}

moved {
  from = google_pubsub_subscription.work
  to   = module.imagesearch.google_pubsub_subscription.work
}

moved {
  from = google_pubsub_subscription_iam_member.agent_acks_dead_letters
  to   = module.imagesearch.google_pubsub_subscription_iam_member.agent_acks_dead_letters
}

moved {
  from = google_pubsub_topic.dead_letter
  to   = module.imagesearch.google_pubsub_topic.dead_letter
}

moved {
  from = google_pubsub_topic.work
  to   = module.imagesearch.google_pubsub_topic.work
}

moved {
  from = google_pubsub_topic_iam_member.agent_publishes_dead_letters
  to   = module.imagesearch.google_pubsub_topic_iam_member.agent_publishes_dead_letters
}

moved {
  from = google_pubsub_topic_iam_member.bucket_agent_publishes_events
  to   = module.imagesearch.google_pubsub_topic_iam_member.bucket_agent_publishes_events
}

moved {
  from = google_pubsub_topic_iam_member.fetch_publishes_collect_jobs
  to   = module.imagesearch.google_pubsub_topic_iam_member.fetch_publishes_collect_jobs
}

moved {
  from = google_pubsub_topic_iam_member.fetch_publishes_embed_batches
  to   = module.imagesearch.google_pubsub_topic_iam_member.fetch_publishes_embed_batches
}

moved {
  from = google_pubsub_topic_iam_member.query_publishes_fetch_jobs
  to   = module.imagesearch.google_pubsub_topic_iam_member.query_publishes_fetch_jobs
}

moved {
  from = google_pubsub_topic_iam_member.scheduler_publishes_collect_jobs
  to   = module.imagesearch.google_pubsub_topic_iam_member.scheduler_publishes_collect_jobs
}

moved {
  from = google_pubsub_topic_iam_member.scheduler_publishes_forget_jobs
  to   = module.imagesearch.google_pubsub_topic_iam_member.scheduler_publishes_forget_jobs
}

moved {
  from = google_redis_instance.cache
  to   = module.imagesearch.google_redis_instance.cache
}

moved {
  from = google_secret_manager_secret.database_url
  to   = module.imagesearch.google_secret_manager_secret.database_url
}

moved {
  from = google_secret_manager_secret.pixabay_key
  to   = module.imagesearch.google_secret_manager_secret.pixabay_key
}

moved {
  from = google_secret_manager_secret.redis_auth
  to   = module.imagesearch.google_secret_manager_secret.redis_auth
}

moved {
  from = google_secret_manager_secret_iam_member.deployer_reads_database_url
  to   = module.imagesearch.google_secret_manager_secret_iam_member.deployer_reads_database_url
}

moved {
  from = google_secret_manager_secret_iam_member.deployer_reads_redis_auth
  to   = module.imagesearch.google_secret_manager_secret_iam_member.deployer_reads_redis_auth
}

moved {
  from = google_secret_manager_secret_iam_member.fetch_reads_pixabay_key
  to   = module.imagesearch.google_secret_manager_secret_iam_member.fetch_reads_pixabay_key
}

moved {
  from = google_secret_manager_secret_iam_member.workload_reads_database_url
  to   = module.imagesearch.google_secret_manager_secret_iam_member.workload_reads_database_url
}

moved {
  from = google_secret_manager_secret_iam_member.workload_reads_redis_auth
  to   = module.imagesearch.google_secret_manager_secret_iam_member.workload_reads_redis_auth
}

moved {
  from = google_secret_manager_secret_version.database_url
  to   = module.imagesearch.google_secret_manager_secret_version.database_url
}

moved {
  from = google_secret_manager_secret_version.redis_auth
  to   = module.imagesearch.google_secret_manager_secret_version.redis_auth
}

moved {
  from = google_service_account.build
  to   = module.imagesearch.google_service_account.build
}

moved {
  from = google_service_account.deployer
  to   = module.imagesearch.google_service_account.deployer
}

moved {
  from = google_service_account.fetch
  to   = module.imagesearch.google_service_account.fetch
}

moved {
  from = google_service_account.inference
  to   = module.imagesearch.google_service_account.inference
}

moved {
  from = google_service_account.planner
  to   = module.imagesearch.google_service_account.planner
}

moved {
  from = google_service_account.push
  to   = module.imagesearch.google_service_account.push
}

moved {
  from = google_service_account.query
  to   = module.imagesearch.google_service_account.query
}

moved {
  from = google_service_account_iam_member.agent_mints_push_tokens
  to   = module.imagesearch.google_service_account_iam_member.agent_mints_push_tokens
}

moved {
  from = google_service_account_iam_member.deployer_acts_as
  to   = module.imagesearch.google_service_account_iam_member.deployer_acts_as
}

moved {
  from = google_sql_database.library
  to   = module.imagesearch.google_sql_database.library
}

moved {
  from = google_sql_database_instance.library
  to   = module.imagesearch.google_sql_database_instance.library
}

moved {
  from = google_sql_user.library
  to   = module.imagesearch.google_sql_user.library
}

moved {
  from = google_storage_bucket.images
  to   = module.imagesearch.google_storage_bucket.images
}

moved {
  from = google_storage_bucket.sources
  to   = module.imagesearch.google_storage_bucket.sources
}

moved {
  from = google_storage_bucket_iam_member.deployer_uploads_archives
  to   = module.imagesearch.google_storage_bucket_iam_member.deployer_uploads_archives
}

moved {
  from = google_storage_bucket_iam_member.deployer_writes_state
  to   = module.imagesearch.google_storage_bucket_iam_member.deployer_writes_state
}

moved {
  from = google_storage_bucket_iam_member.fetch_lists_collections
  to   = module.imagesearch.google_storage_bucket_iam_member.fetch_lists_collections
}

moved {
  from = google_storage_bucket_iam_member.fetch_reads_collections
  to   = module.imagesearch.google_storage_bucket_iam_member.fetch_reads_collections
}

moved {
  from = google_storage_bucket_iam_member.fetch_writes_images
  to   = module.imagesearch.google_storage_bucket_iam_member.fetch_writes_images
}

moved {
  from = google_storage_bucket_iam_member.inference_reads_images
  to   = module.imagesearch.google_storage_bucket_iam_member.inference_reads_images
}

moved {
  from = google_storage_bucket_iam_member.planner_reads_state
  to   = module.imagesearch.google_storage_bucket_iam_member.planner_reads_state
}

moved {
  from = google_storage_bucket_iam_member.public_reads_images
  to   = module.imagesearch.google_storage_bucket_iam_member.public_reads_images
}

moved {
  from = google_storage_notification.collection
  to   = module.imagesearch.google_storage_notification.collection
}

moved {
  from = terraform_data.database_password
  to   = module.imagesearch.terraform_data.database_password
}

moved {
  from = terraform_data.deployment
  to   = module.imagesearch.terraform_data.deployment
}
