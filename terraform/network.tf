# Memorystore and PostgreSQL have private addresses only; without them there is no network at all. It is one of
# its own, or with shared_network a company's.

locals {
  has_own_network = local.has_network && var.shared_network == null

  network_id    = var.shared_network == null ? one(google_compute_network.private[*].id) : var.shared_network.network
  subnetwork_id = var.shared_network == null ? one(google_compute_subnetwork.services[*].id) : var.shared_network.subnetwork

  # Direct VPC egress of a service, as a list for dynamic blocks. What is not private goes the
  # usual way: all traffic through the network would need a NAT, which costs by the hour.
  egress = local.has_network ? [{
    network    = local.network_id
    subnetwork = local.subnetwork_id
  }] : []
}

resource "google_compute_network" "private" {
  # checkov:skip=CKV2_GCP_18: no machine is in it; a network denies what comes from outside by itself
  count = local.has_own_network ? 1 : 0

  name                    = local.name
  auto_create_subnetworks = false

  depends_on = [google_project_service.api]
}

resource "google_compute_subnetwork" "services" {
  # checkov:skip=CKV_GCP_26: flow logs are billed by volume, and only Redis and PostgreSQL are spoken in here
  count = local.has_own_network ? 1 : 0

  name                     = "${local.name}-services"
  network                  = google_compute_network.private[0].id
  region                   = var.region
  ip_cidr_range            = local.subnet_cidr # Direct VPC egress takes nothing smaller than /26
  private_ip_google_access = true
}
