# What each service asks for at its max, beside what a new project may have in a region: Cloud Run
# refuses a service that asks for more, and runs no more of all together.

locals {
  # Defaults of CpuAllocPerProjectRegion and MemAllocPerProjectRegion of run.googleapis.com, as reported
  # in googlecodelabs #1856 and #2311, read 2026-08. A project may have more, or less.
  usual_quota = { cpus = 20, memory_gib = 40 }

  function_memory_gib = { "512M" = 0.5, "1G" = 1, "2G" = 2 }

  asked_for = merge(
    { for name, one in local.functions : name => {
      cpus       = var.instances[name].max
      memory_gib = var.instances[name].max * local.function_memory_gib[one.memory]
    } },
    { for name, one in local.inference_services : name => {
      cpus       = var.instances[name].max * tonumber(one.limits.cpu)
      memory_gib = var.instances[name].max * tonumber(trimsuffix(one.limits.memory, "Gi"))
    } },
  )
  asks_for_more = { for name, one in local.asked_for : name => one
    if one.cpus > local.usual_quota.cpus || one.memory_gib > local.usual_quota.memory_gib
  }
}

# A warning and no error: quotas are raised on request, and Terraform does not see them.
check "quotas" {
  assert {
    condition     = length(local.asks_for_more) == 0
    error_message = "instances: at its max ${join(", and ", [for name, one in local.asks_for_more : "${name} needs ${one.cpus} CPUs and ${one.memory_gib} GiB"])}, and Cloud Run gives a new project ${local.usual_quota.cpus} CPUs and ${local.usual_quota.memory_gib} GiB in a region (quotas CpuAllocPerProjectRegion and MemAllocPerProjectRegion): lower the max, or ask for more."
  }
}
