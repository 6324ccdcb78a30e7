# What Google says of these once they are made is made up at plan already, so that a plan can be asked for what reads it:
# an apply, and the end of it, take three times as long. What needs no such value is planned without these mocks, as in
# truth; postgres.tftest.hcl, with nearly all that may be switched on, and kms_key.tftest.hcl make it and end it. Another
# kind is wanted here where a test says of an assertion that its condition is not known yet.

mock_resource "google_artifact_registry_repository" { override_during = plan }
mock_resource "google_cloud_run_v2_service" { override_during = plan }
mock_resource "google_cloudfunctions2_function" { override_during = plan }
mock_resource "google_compute_global_address" { override_during = plan }
mock_resource "google_compute_network" { override_during = plan }
mock_resource "google_compute_security_policy" { override_during = plan }
mock_resource "google_compute_subnetwork" { override_during = plan }
mock_resource "google_compute_target_http_proxy" { override_during = plan }
mock_resource "google_monitoring_notification_channel" { override_during = plan }
mock_resource "google_pubsub_subscription" { override_during = plan }
mock_resource "google_pubsub_topic" { override_during = plan }
mock_resource "google_redis_instance" { override_during = plan }
mock_resource "google_service_account" { override_during = plan }
