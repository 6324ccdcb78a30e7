# Where it is wanted, the inference services and the web app run only what Cloud Build built in this project. Not the functions:
# that Cloud Functions' own builds are attested was not found to be said by Google, read 2026-11.
# Source: https://cloud.google.com/build/docs/securing-builds/use-binary-authorization

locals {
  makes_policy = try(var.binary_authorization.makes_policy, false)
}

# A project has one, which holds for all of its services and clusters that ask for it. Cloud Build makes the
# attestor with the first image that it builds while the API is on, and attests no image of before.
resource "google_binary_authorization_policy" "project" {
  count = local.makes_policy ? 1 : 0

  global_policy_evaluation_mode = "ENABLE"

  default_admission_rule {
    evaluation_mode         = "REQUIRE_ATTESTATION"
    enforcement_mode        = "ENFORCED_BLOCK_AND_AUDIT_LOG"
    require_attestations_by = ["projects/${var.project_id}/attestors/built-by-cloud-build"]
  }

  depends_on = [google_project_service.api]
}
