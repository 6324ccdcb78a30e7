# What variables.tf reads besides variables: a local that a validation asks for goes here. Nothing that is made is
# looked at: tests/variables/ links to these two files alone, so that what is refused needs no plan of everything.

locals {
  name = var.name

  # Source: cloud.google.com/run/docs/configuring/services/gpu, read 2026-08.
  l4_regions_by_invitation = ["asia-south1", "us-central1"]
  l4_regions               = concat(["asia-southeast1", "europe-west1", "europe-west4", "us-east4"], local.l4_regions_by_invitation)

  # What a model may be called: its name here, or as huggingface_hub 2 has it, by `validate_repo_id`.
  model_id    = "^(small|best|[A-Za-z0-9_]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?/[A-Za-z0-9_]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?)$"
  no_model_id = "--|[.][.]|[.]git$"

  has_postgres = var.library == "postgres"
  has_network  = var.memorystore_enabled || local.has_postgres

  subnet_cidr = var.shared_network == null ? "10.8.0.0/26" : var.shared_network.cidr
  # Google keeps 4 addresses of each subnet for itself, and PostgreSQL has one.
  subnet_addresses = pow(2, 32 - tonumber(split("/", local.subnet_cidr)[1])) - 4 - (local.has_postgres ? 1 : 0)

  # What the five fields of a schedule may be, as Cloud Scheduler reads them.
  # Source: cloud.google.com/scheduler/docs/configuring/cron-job-schedules, read 2026-11.
  cron_values = [
    { name = "minute", bounds = "0 to 59", value = "[0-5]?[0-9]" },
    { name = "hour", bounds = "0 to 23", value = "[01]?[0-9]|2[0-3]" },
    { name = "day of the month", bounds = "1 to 31", value = "0?[1-9]|[12][0-9]|3[01]" },
    { name = "month", bounds = "1 to 12 or JAN to DEC", value = "0?[1-9]|1[0-2]|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC" },
    { name = "day of the week", bounds = "0 to 7 or SUN to SAT", value = "[0-7]|SUN|MON|TUE|WED|THU|FRI|SAT" },
  ]

  # A schedule that starts once an hour at the most has `one` minute, and once a day one hour, too. A field has values,
  # ranges and * with commas between, the last two also with a step, as */2.
  cron_fields = [for each in local.cron_values : {
    name   = each.name
    bounds = each.bounds
    one    = "^(${each.value})$"
    any    = "^(${local.cron_item[each.name]})(,(${local.cron_item[each.name]}))*$"
  }]
  cron_item = { for each in local.cron_values :
    each.name => "(${each.value})|([*]|(${each.value})-(${each.value}))(/[1-9][0-9]?)?"
  }
}
