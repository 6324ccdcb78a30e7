# What the five fields of a schedule may be, for the variables that are one: as Cloud Scheduler reads them.
# Source: cloud.google.com/scheduler/docs/configuring/cron-job-schedules, read 2026-11.

locals {
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
