# Who pays hears of a day that is dear before its bill comes. What bounds it is dollars_per_day: decision 0085.

locals {
  # A document read in tools/costs.toml, which a test compares; in an hour a quarter of the day's dollars.
  dollars_per_read = 0.0000003

  cost_alerts = {
    reads = {
      title = "${local.name}: Firestore is read much"
      query = "sum(increase(firestore_googleapis_com:document_read_count{monitored_resource=\"firestore_instance\"}[1h])) > ${ceil(var.dollars_per_day / 4 / local.dollars_per_read)}"
      then  = "In an hour reads of documents cost a quarter of dollars_per_day. Searches over everything read a hundredth of all that is stored."
    }
    # What is published for new keywords and renewals; the count of sent messages is deprecated, that of sizes is not.
    keywords = {
      title = "${local.name}: many new keywords"
      query = "sum(increase(pubsub_googleapis_com:topic_message_sizes_count{monitored_resource=\"pubsub_topic\",topic_id=\"${google_pubsub_topic.work["fetch-jobs"].name}\"}[1h])) > ${ceil(var.new_keywords_per_day / 4)}"
      then  = "In an hour a quarter of new_keywords_per_day was begun."
    }
  }
}

resource "google_monitoring_alert_policy" "cost" {
  for_each = local.cost_alerts

  display_name          = each.value.title
  severity              = "WARNING"
  combiner              = "OR"
  notification_channels = local.notification_channels

  conditions {
    display_name = each.value.title
    condition_prometheus_query_language {
      query                     = each.value.query
      duration                  = "0s"
      evaluation_interval       = "60s"
      disable_metric_validation = true
    }
  }

  alert_strategy {
    auto_close = "1800s"
  }

  documentation {
    content = "${each.value.then} ${local.what_to_do}"
  }
}

# The query function's line, once a process and day: imagesearch/usecases/spending.py.
resource "google_monitoring_alert_policy" "spent" {
  display_name          = "${local.name}: what a day may cost is spent"
  severity              = "ERROR"
  combiner              = "OR"
  notification_channels = local.notification_channels

  conditions {
    display_name = "Searches are refused until midnight"
    condition_matched_log {
      filter = <<-FILTER
        resource.type = "cloud_run_revision"
        resource.labels.service_name = "${local.query_service}"
        jsonPayload.message : "what a day may cost is spent"
      FILTER
    }
  }

  # A log alert must say how often it may be sent.
  alert_strategy {
    auto_close = "1800s"
    notification_rate_limit {
      period = "3600s"
    }
  }

  documentation {
    content = "New keywords, or all searches, get 429 until midnight of UTC. ${local.what_to_do}"
  }
}
