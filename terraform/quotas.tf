# What the maxima of all services ask for together, beside what a new project may have in a region.

locals {
  # Defaults of CpuAllocPerProjectRegion and MemAllocPerProjectRegion of run.googleapis.com, as reported
  # in googlecodelabs #1856 and #2311, read 2026-08. A project may have more, or less.
  usual_quota = { cpus = 20, memory_gib = 40 }

  function_memory_gib = { "512M" = 0.5, "1G" = 1 }

  most_cpus = (
    var.instances.query.max + var.instances.fetch.max
    + sum([for name, one in local.inference_services : tonumber(one.limits.cpu) * var.instances[name].max])
  )
  most_memory_gib = (
    sum([for name, one in local.functions : local.function_memory_gib[one.memory] * var.instances[name].max])
    + sum([for name, one in local.inference_services : tonumber(trimsuffix(one.limits.memory, "Gi")) * var.instances[name].max])
  )
}

# A warning and no error: quotas are raised on request, and Terraform does not see them.
check "quotas" {
  assert {
    condition     = local.most_cpus <= local.usual_quota.cpus
    error_message = "instances: at their max all services together need ${local.most_cpus} CPUs, and Cloud Run gives a new project ${local.usual_quota.cpus} in a region (quota CpuAllocPerProjectRegion): lower a max, or ask for more."
  }
  assert {
    condition     = local.most_memory_gib <= local.usual_quota.memory_gib
    error_message = "instances: at their max all services together need ${local.most_memory_gib} GiB of memory, and Cloud Run gives a new project ${local.usual_quota.memory_gib} in a region (quota MemAllocPerProjectRegion): lower a max, or ask for more."
  }
}
