# Memorystore and PostgreSQL have private addresses only; without them there is no network at all.

locals {
  subnet_cidr = "10.8.0.0/26"
  # Google keeps 4 addresses of each subnet for itself, and PostgreSQL has one.
  subnet_addresses = pow(2, 32 - tonumber(split("/", local.subnet_cidr)[1])) - 4 - (local.has_postgres ? 1 : 0)

  has_network = var.memorystore_enabled || local.has_postgres

  # Direct VPC egress of a service, as a list for dynamic blocks. What is not private goes the
  # usual way: all traffic through the network would need a NAT, which costs by the hour.
  egress = local.has_network ? [{
    network    = google_compute_network.private[0].id
    subnetwork = google_compute_subnetwork.services[0].id
  }] : []
}

resource "google_compute_network" "private" {
  # checkov:skip=CKV2_GCP_18: no machine is in it; a network denies what comes from outside by itself
  count = local.has_network ? 1 : 0

  name                    = local.name
  auto_create_subnetworks = false

  depends_on = [google_project_service.api]
}

resource "google_compute_subnetwork" "services" {
  # checkov:skip=CKV_GCP_26: flow logs are billed by volume, and only Redis and PostgreSQL are spoken in here
  count = local.has_network ? 1 : 0

  name                     = "${local.name}-services"
  network                  = google_compute_network.private[0].id
  region                   = var.region
  ip_cidr_range            = local.subnet_cidr # Direct VPC egress takes nothing smaller than /26
  private_ip_google_access = true
}
