variable "project_id" {
  description = "Id of the Google Cloud project, which Terraform does not create."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be the id of a project, such as my-project-123, not its name or number; got \"${var.project_id}\"."
  }
}

variable "name" {
  description = "Name of this deployment, which everything in it is called by: another name is another deployment beside it."
  type        = string
  default     = "imagesearch"

  validation {
    # An account is called by it and -inference, in at most 30 characters; a Firestore database has at least 4.
    condition     = can(regex("^[a-z][a-z0-9-]{2,18}[a-z0-9]$", var.name))
    error_message = "name must be 4 to 20 small letters, digits and hyphens, the first a letter and the last no hyphen, such as imagesearch-dev; got \"${var.name}\"."
  }

  # A registry and a URL map of imagesearch are called imagesearch-cache and imagesearch-redirect.
  validation {
    condition     = !can(regex("-(cache|redirect)$", var.name))
    error_message = "name must not end as the names of parts of another deployment do, in -cache or -redirect; got \"${var.name}\": take imagesearch-dev."
  }
}

variable "region" {
  description = "Region of everything that is not global; the profiles gpu and split need one that has L4 GPUs."
  type        = string
  default     = "europe-west4"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be the name of a region, such as europe-west4, not of a zone or a continent; got \"${var.region}\"."
  }

  validation {
    condition     = var.inference_profile == "cpu" || contains(local.l4_regions, var.region)
    error_message = "Cloud Run has no L4 GPU in ${var.region}: take one of ${join(", ", local.l4_regions)} (${join(" and ", local.l4_regions_by_invitation)} by invitation only), or inference_profile = \"cpu\"."
  }
}

variable "kms_key" {
  description = "Key of Cloud KMS, in the same region, that all that is stored is encrypted with, from the first day on; null: Google's own keys."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key == null || can(regex("^projects/[a-z0-9.:-]+/locations/[a-z0-9-]+/keyRings/[A-Za-z0-9_-]{1,63}/cryptoKeys/[A-Za-z0-9_-]{1,63}$", var.kms_key))
    error_message = "kms_key must be a key, projects/PROJECT/locations/REGION/keyRings/RING/cryptoKeys/KEY, without a version; got \"${coalesce(var.kms_key, "-")}\". It is printed by: gcloud kms keys list --keyring=RING --location=REGION --format='value(name)'."
  }

  # Of each of these a key is in the place of what it encrypts: cloud.google.com/firestore/native/docs/cmek and
  # cloud.google.com/functions/docs/securing/cmek, read 2026-11.
  validation {
    condition     = var.kms_key == null || try(split("/", var.kms_key)[3], var.region) == var.region
    error_message = "kms_key must be in ${var.region}, where all that it encrypts is; got one in ${try(split("/", var.kms_key)[3], "-")}: make one with gcloud kms keyrings create RING --location=${var.region}, or deploy to that region."
  }
}

variable "inference_profile" {
  description = "split: a service with an L4 embeds, and one on CPUs scores; gpu: one service with an L4 does both; cpu: one without a GPU does."
  type        = string
  default     = "split"

  validation {
    condition     = contains(["gpu", "split", "cpu"], var.inference_profile)
    error_message = "inference_profile must be gpu, split or cpu; got \"${var.inference_profile}\"."
  }
}

variable "inference_image" {
  description = "Image of the inference service, by digest."
  type        = string
  # Refused, by a message that says what makes one.
  default = ""

  validation {
    condition     = can(regex("^[^@ ]+@sha256:[0-9a-f]{64}$", var.inference_image))
    error_message = "inference_image must name an image by its digest, REGISTRY/NAME@sha256:…, got \"${var.inference_image}\": tools/first_deployment.sh --project=ID builds one and deploys it; of one that is pushed, the digest is printed by: gcloud artifacts docker images describe REGISTRY/NAME:TAG --format='value(image_summary.digest)'."
  }
}

# tools/build_image.sh reads these four of the environment's main.tf: the model is baked into the image.
variable "clip_model" {
  description = "Model that the image is built with, on one line of the environment's main.tf: small, best, a hub id or models/NAME; null: what inference_service/Dockerfile says, which is small."
  type        = string
  default     = null

  validation {
    condition     = can(regex(local.model_id, coalesce(var.clip_model, "small"))) && !can(regex(local.no_model_id, coalesce(var.clip_model, "small")))
    error_message = "clip_model must be small, best, a hub id OWNER/NAME, either of at most 96 characters, or a folder models/NAME of this repository; got \"${coalesce(var.clip_model, "-")}\"."
  }

  validation {
    condition     = coalesce(var.clip_model, "small") == "small" || startswith(coalesce(var.clip_model, "small"), "models/") || var.clip_revision != null
    error_message = "clip_revision must be given with clip_model = \"${coalesce(var.clip_model, "-")}\": the commit of the model on the hub."
  }

  validation {
    condition     = contains(concat([var.embedding_dimension], var.other_embedding_dimensions), lookup({ small = 512, best = 768 }, coalesce(var.clip_model, "-"), var.embedding_dimension))
    error_message = "clip_model = \"${coalesce(var.clip_model, "-")}\" has embeddings of ${lookup({ small = 512, best = 768 }, coalesce(var.clip_model, "-"), 0)} numbers: neither embedding_dimension nor other_embedding_dimensions has that."
  }
}

variable "clip_revision" {
  description = "Commit of clip_model on the hub, on one line; a folder has none, and small's is in the Dockerfile."
  type        = string
  default     = null

  validation {
    condition     = can(regex("^[0-9a-f]{40}$", coalesce(var.clip_revision, "0000000000000000000000000000000000000000")))
    error_message = "clip_revision must be a commit, 40 hexadecimal digits, as a branch or a tag may move; got \"${coalesce(var.clip_revision, "-")}\"."
  }
}

variable "previous_clip_model" {
  description = "Model before, in the image as well while the model changes, on one line of the environment's main.tf; null: none."
  type        = string
  default     = null

  validation {
    condition     = can(regex(local.model_id, coalesce(var.previous_clip_model, "small"))) && !can(regex(local.no_model_id, coalesce(var.previous_clip_model, "small")))
    error_message = "previous_clip_model must be small, best, a hub id OWNER/NAME, either of at most 96 characters, or a folder models/NAME of this repository; got \"${coalesce(var.previous_clip_model, "-")}\"."
  }

  validation {
    condition     = var.previous_clip_model == null || startswith(coalesce(var.previous_clip_model, "small"), "models/") || var.previous_clip_revision != null
    error_message = "previous_clip_revision must be given with previous_clip_model = \"${coalesce(var.previous_clip_model, "-")}\": the commit of the model on the hub."
  }

  validation {
    condition     = contains(concat([var.embedding_dimension], var.other_embedding_dimensions), lookup({ small = 512, best = 768 }, coalesce(var.previous_clip_model, "-"), var.embedding_dimension))
    error_message = "previous_clip_model = \"${coalesce(var.previous_clip_model, "-")}\" has embeddings of ${lookup({ small = 512, best = 768 }, coalesce(var.previous_clip_model, "-"), 0)} numbers: neither embedding_dimension nor other_embedding_dimensions has that."
  }
}

variable "previous_clip_revision" {
  description = "Commit of previous_clip_model on the hub, on one line; a folder has none."
  type        = string
  default     = null

  validation {
    condition     = can(regex("^[0-9a-f]{40}$", coalesce(var.previous_clip_revision, "0000000000000000000000000000000000000000")))
    error_message = "previous_clip_revision must be a commit, 40 hexadecimal digits, as a branch or a tag may move; got \"${coalesce(var.previous_clip_revision, "-")}\"."
  }
}

variable "embedding_dimension" {
  description = "Length of the model's embeddings, for the vector index: 512 for `small`, the default model, and 768 for `best`."
  type        = number
  default     = 512

  validation {
    condition     = var.embedding_dimension >= 1 && var.embedding_dimension <= 2048 && floor(var.embedding_dimension) == var.embedding_dimension
    error_message = "embedding_dimension must be a whole number from 1 to 2048, Firestore's limit; got ${var.embedding_dimension}."
  }
}

variable "other_embedding_dimensions" {
  description = "Lengths of the embeddings of another model, while the model changes to or from one of another length."
  type        = list(number)
  default     = []

  validation {
    condition     = alltrue([for each in var.other_embedding_dimensions : each >= 1 && each <= 2048 && floor(each) == each])
    error_message = "other_embedding_dimensions must be whole numbers from 1 to 2048, Firestore's limit; got ${jsonencode(var.other_embedding_dimensions)}."
  }
}

variable "new_revision_percent" {
  description = "Share of the traffic, in percent, that the new revision of each service gets by a roll-out until it is promoted or taken back: docs/deploy.md; with 100 all of it, at the roll-out's end."
  type        = number
  default     = 100

  validation {
    condition     = var.new_revision_percent >= 1 && var.new_revision_percent <= 100 && floor(var.new_revision_percent) == var.new_revision_percent
    error_message = "new_revision_percent must be a whole number from 1 to 100, such as 10; got ${var.new_revision_percent}."
  }

  # Each revision embeds by its own model, so that a pool would have images of either: decision 0073.
  validation {
    condition     = var.new_revision_percent == 100 || var.previous_clip_model == null
    error_message = "new_revision_percent must be 100 while previous_clip_model is set, since the revision of before would go on embedding by the model of before; got ${var.new_revision_percent}."
  }
}

variable "function_archives" {
  description = "Paths of the zips of the two functions; null: build/query.zip and build/fetch.zip of this repository."
  type = object({
    query = optional(string)
    fetch = optional(string)
  })
  default = {}

  validation {
    condition     = alltrue([for name, given in var.function_archives : fileexists(coalesce(given, "${path.module}/../build/${name}.zip"))])
    error_message = "There is no ${join(" and no ", [for name, given in var.function_archives : coalesce(given, "${path.module}/../build/${name}.zip") if !fileexists(coalesce(given, "${path.module}/../build/${name}.zip"))])}: in the project's root, python -m tools.package_function query and python -m tools.package_function fetch make the two zips."
  }
}

variable "image_sources" {
  description = "Where images come from: pixabay, commons, openverse, or several of them for each keyword."
  type        = list(string)
  default     = ["pixabay"]

  validation {
    condition     = length(var.image_sources) > 0 && length(setsubtract(var.image_sources, ["pixabay", "commons", "openverse"])) == 0 && length(distinct(var.image_sources)) == length(var.image_sources)
    error_message = "image_sources must be one or more of pixabay, commons and openverse, each once; got ${jsonencode(var.image_sources)}."
  }
}

variable "source_contact" {
  description = "Your e-mail address or site, sent to Wikimedia Commons or Openverse with each request; commons needs it."
  type        = string
  default     = null

  validation {
    condition     = var.source_contact == null || can(regex("^([^@() ]+@[A-Za-z0-9.-]+|https?://[^@() ]+)$", var.source_contact))
    error_message = "source_contact must be an e-mail address or an http:// or https:// URL, without brackets; got \"${coalesce(var.source_contact, "-")}\"."
  }

  validation {
    condition     = var.source_contact != null || !contains(var.image_sources, "commons")
    error_message = "source_contact must be given with image_sources that has commons: Wikimedia allows whoever does not say how to be reached 10 requests a minute."
  }
}

variable "pixabay_key_version" {
  description = "Version of the secret with Pixabay's key that the fetch function reads: a number, or latest."
  type        = string
  default     = "latest"

  validation {
    condition     = can(regex("^(latest|[1-9][0-9]*)$", var.pixabay_key_version))
    error_message = "pixabay_key_version must be latest or a number, such as 2, that gcloud secrets versions list shows; got \"${var.pixabay_key_version}\". The key itself does not belong here."
  }
}

variable "memorystore_enabled" {
  description = "Whether there is a Memorystore, which costs by the hour; without one each process keeps a cache of its own, and counts the requests of a minute by itself."
  type        = bool
  default     = false
}

variable "firestore_database" {
  description = "Firestore database that Terraform makes; null: \"(default)\", which of all of a project's is sure to have the free quota, or for another name than imagesearch that name."
  type        = string
  default     = null

  validation {
    condition     = coalesce(var.firestore_database, "(default)") == "(default)" || can(regex("^[a-z][a-z0-9-]{2,61}[a-z0-9]$", var.firestore_database))
    error_message = "firestore_database must be (default) or 4 to 63 small letters, digits and hyphens, the first a letter and the last no hyphen; got \"${coalesce(var.firestore_database, "-")}\"."
  }
}

variable "backup_weeks" {
  description = "Weeks that each weekly backup of Firestore is kept; with 0 there is none, and nothing of what it was more than an hour ago: docs/recovery.md."
  type        = number
  default     = 4

  validation {
    condition     = var.backup_weeks == floor(var.backup_weeks) && var.backup_weeks >= 0 && var.backup_weeks <= 14
    error_message = "backup_weeks must be a whole number from 0 to 14, as Firestore keeps a backup for 14 weeks at most; got ${var.backup_weeks}."
  }
}

variable "library" {
  description = "What keeps images and embeddings: firestore, or postgres, which costs by the hour; docs/scale.md says from which size on, and that neither has what the other has."
  type        = string
  default     = "firestore"

  validation {
    condition     = contains(["firestore", "postgres"], var.library)
    error_message = "library must be firestore or postgres; got \"${var.library}\"."
  }
}

variable "postgres" {
  description = "The instance of Cloud SQL that library = \"postgres\" makes: its CPUs and memory, its disk, which grows by itself, and whether a second one stands by."
  type = object({
    tier              = optional(string, "db-custom-2-8192")
    disk_gb           = optional(number, 20)
    high_availability = optional(bool, false)
  })
  default = {}

  validation {
    condition     = can(regex("^db-custom-[1-9][0-9]*-[1-9][0-9]*$", var.postgres.tier))
    error_message = "postgres.tier must be db-custom-CPUS-MEGABYTES, such as db-custom-2-8192; got \"${var.postgres.tier}\"."
  }

  # Both: cloud.google.com/sql/docs/postgres/instance-settings, read 2026-11.
  validation {
    condition = !can(regex("^db-custom-[1-9][0-9]*-[1-9][0-9]*$", var.postgres.tier)) || try(
      (split("-", var.postgres.tier)[2] == "1" || split("-", var.postgres.tier)[2] % 2 == 0) && split("-", var.postgres.tier)[2] <= 96
      && split("-", var.postgres.tier)[3] % 256 == 0 && split("-", var.postgres.tier)[3] >= 3840
      && split("-", var.postgres.tier)[3] >= 0.9 * 1024 * split("-", var.postgres.tier)[2] && split("-", var.postgres.tier)[3] <= 6.5 * 1024 * split("-", var.postgres.tier)[2],
      false
    )
    error_message = "postgres.tier must have 1 CPU or an even number up to 96, and a multiple of 256 MB of memory, at least 3840 in all and from 0.9 to 6.5 GB for each CPU, such as db-custom-2-8192; got \"${var.postgres.tier}\"."
  }

  validation {
    condition     = var.postgres.disk_gb >= 10 && var.postgres.disk_gb <= 65536 && floor(var.postgres.disk_gb) == var.postgres.disk_gb
    error_message = "postgres.disk_gb must be a whole number from 10 to 65536; got ${var.postgres.disk_gb}."
  }
}

variable "shared_network" {
  description = "A company's network that Memorystore and PostgreSQL are reached through, of another project or this one: its id, its subnet's, and that one's range; null: a network of its own."
  type = object({
    network    = string
    subnetwork = string
    cidr       = string
  })
  default = null

  validation {
    condition     = var.shared_network == null || try(can(regex("^projects/[a-z0-9.:-]+/global/networks/[a-z0-9-]+$", var.shared_network.network)) && can(regex("^projects/[a-z0-9.:-]+/regions/[a-z0-9-]+/subnetworks/[a-z0-9-]+$", var.shared_network.subnetwork)), false)
    error_message = "shared_network: network must be projects/HOST/global/networks/NAME, and subnetwork projects/HOST/regions/REGION/subnetworks/NAME; got ${jsonencode(var.shared_network)}."
  }

  # Direct VPC egress: cloud.google.com/run/docs/configuring/vpc-direct-vpc, read 2026-11.
  validation {
    condition     = var.shared_network == null || try(tonumber(split("/", cidrsubnet(var.shared_network.cidr, 0, 0))[1]) <= 26, false)
    error_message = "shared_network.cidr must be the range of the subnet, such as 10.8.0.0/26, which Cloud Run takes of no less than /26; got \"${try(var.shared_network.cidr, "-")}\"."
  }

  validation {
    condition     = var.shared_network == null || local.has_network
    error_message = "shared_network is for memorystore_enabled = true or library = \"postgres\", and nothing else is in a network: leave it out."
  }
}

variable "instances" {
  description = "Least and most instances of each service; a least of 0 lets it sleep, and scorer is of the profile split only."
  type = object({
    query     = optional(object({ min = optional(number, 0), max = optional(number, 3) }), {})
    fetch     = optional(object({ min = optional(number, 0), max = optional(number, 4) }), {})
    inference = optional(object({ min = optional(number, 0), max = optional(number, 2) }), {})
    scorer    = optional(object({ min = optional(number, 0), max = optional(number, 2) }), {})
  })
  default = {}

  validation {
    condition     = alltrue([for one in values(var.instances) : one.min >= 0 && one.max >= 1 && one.min <= one.max && floor(one.min) == one.min && floor(one.max) == one.max])
    error_message = "instances: each min must be a whole number of at least 0, and each max one of at least 1 and not below its min; got ${jsonencode(var.instances)}."
  }

  validation {
    condition     = !local.has_network || 2 * sum([for one in values(var.instances) : one.max]) <= local.subnet_addresses
    error_message = "instances: every instance may hold two addresses of the subnet, which has ${local.subnet_addresses}, so the sum of all max must be at most ${floor(local.subnet_addresses / 2)}; got ${sum([for one in values(var.instances) : one.max])}."
  }
}

variable "pools" {
  description = "What the fetch function asks Pixabay for besides the keyword: the settings POOL_SIZE, KEYWORD_LANGUAGE, ORIENTATION, IMAGE_CATEGORY, IMAGE_COLORS and SAFESEARCH."
  type = object({
    size        = optional(number, 200)
    language    = optional(string, "en")
    orientation = optional(string, "all")
    category    = optional(string, "")
    colors      = optional(string, "")
    safesearch  = optional(bool, true)
  })
  default = {}

  validation {
    condition     = var.pools.size >= 3 && var.pools.size <= 500 && floor(var.pools.size) == var.pools.size
    error_message = "pools.size must be a whole number from 3 to 500; got ${var.pools.size}."
  }

  validation {
    condition     = contains(split(" ", "cs da de en es fr id it hu nl no pl pt ro sk fi sv tr vi th bg ru el ja ko zh"), var.pools.language)
    error_message = "pools.language must be a language of Pixabay's, such as en or de; got \"${var.pools.language}\"."
  }

  validation {
    condition     = contains(["all", "horizontal", "vertical"], var.pools.orientation)
    error_message = "pools.orientation must be all, horizontal or vertical; got \"${var.pools.orientation}\"."
  }

  validation {
    condition     = var.pools.category == "" || contains(split(" ", "backgrounds fashion nature science education feelings health people religion places animals industry computer food sports transportation travel buildings business music"), var.pools.category)
    error_message = "pools.category must be a category of Pixabay's, such as animals, or empty for all; got \"${var.pools.category}\"."
  }

  validation {
    condition     = var.pools.colors == "" || length(setsubtract(split(",", var.pools.colors), split(" ", "grayscale transparent red orange yellow green turquoise blue lilac pink white gray black brown"))) == 0
    error_message = "pools.colors must be colours of Pixabay's with commas between, such as red,blue, or empty for all; got \"${var.pools.colors}\"."
  }
}

variable "collections" {
  description = "Buckets of pictures that are searched, by the name of the collection: the bucket, a folder of it, whether it is kept where pictures were taken, and the number of the bucket's project if that is another."
  type = map(object({
    bucket         = string
    prefix         = optional(string, "")
    keep_place     = optional(bool, false)
    project_number = optional(string)
  }))
  default = {}

  validation {
    condition     = alltrue([for name in keys(var.collections) : can(regex("^\\P{C}{1,100}$", name)) && trimspace(name) == name])
    error_message = "collections: a name must have 1 to 100 characters that can be seen, and no space around it; got ${jsonencode(keys(var.collections))}."
  }

  validation {
    condition     = length(distinct([for name in keys(var.collections) : lower(join(" ", regexall("\\S+", name)))])) == length(var.collections)
    error_message = "collections: two names must differ in more than case and spaces, as that is how they are searched by; got ${jsonencode(keys(var.collections))}."
  }

  validation {
    condition     = alltrue([for one in values(var.collections) : can(regex("^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", one.bucket))])
    error_message = "collections: bucket must be the name of a bucket, without gs:// and without a folder, which is the prefix; got ${jsonencode([for one in values(var.collections) : one.bucket])}."
  }

  # Each preview would be a new picture, of which a preview is made.
  validation {
    condition     = alltrue([for one in values(var.collections) : !endswith(one.bucket, "-${local.name}-images")])
    error_message = "collections: bucket must be none in which imagesearch keeps previews; got ${join(", ", [for one in values(var.collections) : one.bucket if endswith(one.bucket, "-${local.name}-images")])}."
  }

  validation {
    condition     = alltrue([for one in values(var.collections) : !startswith(one.prefix, "/") && !endswith(one.prefix, "//") && length(base64encode("${trimsuffix(one.prefix, "/")}/")) <= 1364])
    error_message = "collections: prefix must be a folder such as photos/2026, without a / before it, of at most 1023 bytes with the / after it; got ${jsonencode([for one in values(var.collections) : substr(one.prefix, 0, 64)])}."
  }

  # Each event of the inner one would come twice.
  validation {
    condition = alltrue(flatten([for name, one in var.collections : [for other, two in var.collections :
      name == other || one.bucket != two.bucket || !startswith("${trimsuffix(one.prefix, "/")}/", two.prefix == "" ? "" : "${trimsuffix(two.prefix, "/")}/")
    ]]))
    error_message = "collections: none may lie in another, whose pictures it would be a second time; got ${jsonencode([for one in values(var.collections) : "gs://${one.bucket}/${substr(one.prefix, 0, 64)}"])}."
  }

  # cloud.google.com/storage/docs/pubsub-notifications, read 2026-11.
  validation {
    condition     = alltrue([for one in values(var.collections) : length([for two in values(var.collections) : two if two.bucket == one.bucket]) <= 10])
    error_message = "collections: at most 10 may be of one bucket, as Cloud Storage tells at most 10 of an event; got ${jsonencode([for one in values(var.collections) : one.bucket])}."
  }

  validation {
    condition     = alltrue([for one in values(var.collections) : one.project_number == null ? true : can(regex("^[1-9][0-9]{0,18}$", one.project_number))])
    error_message = "collections: project_number must be a number, such as gcloud projects describe ID --format='value(projectNumber)' prints, or be left out for a bucket of this project; got ${jsonencode([for one in values(var.collections) : one.project_number])}."
  }
}

variable "collections_schedule" {
  description = "When each collection is compared with its bucket, in five fields of cron and UTC: what no message told is made up for."
  type        = string
  default     = "23 4 * * 0"
  nullable    = false

  validation {
    condition     = try(length(split(" ", var.collections_schedule)) == 5 && alltrue([for at, field in local.cron_fields : can(regex(at < 1 ? field.one : field.any, split(" ", var.collections_schedule)[at]))]), false)
    error_message = "collections_schedule must be five fields of cron that start once an hour at most, such as 23 4 * * 0 for Sundays at 4:23; got \"${var.collections_schedule}\"${join("", [for at, field in local.cron_fields : "; the ${field.name} must be ${at < 1 ? "one number" : "*, or values"} of ${field.bounds}, got ${try(split(" ", var.collections_schedule)[at], "none")}" if !can(regex(at < 1 ? field.one : field.any, split(" ", var.collections_schedule)[at]))])}."
  }
}

variable "rate_limit_per_minute" {
  description = "Requests that a client may make in a minute, at the function and at the load balancer."
  type        = number
  default     = 150

  validation {
    condition     = var.rate_limit_per_minute >= 1 && var.rate_limit_per_minute <= 10000 && floor(var.rate_limit_per_minute) == var.rate_limit_per_minute
    error_message = "rate_limit_per_minute must be a whole number from 1 to 10000; got ${var.rate_limit_per_minute}."
  }
}

variable "new_keywords_per_minute" {
  description = "New keywords that a client may ask for in a minute; known ones are not counted."
  type        = number
  default     = 10

  validation {
    condition     = var.new_keywords_per_minute >= 1 && var.new_keywords_per_minute <= 10000 && floor(var.new_keywords_per_minute) == var.new_keywords_per_minute
    error_message = "new_keywords_per_minute must be a whole number from 1 to 10000; got ${var.new_keywords_per_minute}."
  }
}

variable "new_keywords_per_day" {
  description = "New keywords, and renewals of known ones, that all clients together may ask for in a day of UTC: what a day can cost at most; docs/costs.md has what one costs."
  type        = number
  default     = 1000

  validation {
    condition     = var.new_keywords_per_day >= 1 && var.new_keywords_per_day <= 1000000 && floor(var.new_keywords_per_day) == var.new_keywords_per_day
    error_message = "new_keywords_per_day must be a whole number from 1 to 1000000; got ${var.new_keywords_per_day}."
  }
}

variable "catalog_searches_per_minute" {
  description = "Searches over everything that a client may make in a minute; in Firestore each reads a hundredth of what is stored."
  type        = number
  default     = 30

  validation {
    condition     = var.catalog_searches_per_minute >= 1 && var.catalog_searches_per_minute <= 10000 && floor(var.catalog_searches_per_minute) == var.catalog_searches_per_minute
    error_message = "catalog_searches_per_minute must be a whole number from 1 to 10000; got ${var.catalog_searches_per_minute}."
  }
}

variable "catalog_searches_per_day" {
  description = "The same of all clients together in a day of UTC, and 0 for none at all; docs/costs.md has what a day of it costs."
  type        = number
  default     = 10000

  validation {
    condition     = var.catalog_searches_per_day >= 0 && var.catalog_searches_per_day <= 10000000 && floor(var.catalog_searches_per_day) == var.catalog_searches_per_day
    error_message = "catalog_searches_per_day must be a whole number from 0 to 10000000; got ${var.catalog_searches_per_day}."
  }
}

variable "api_key" {
  description = "Secret of this project whose value callers of the API must send as X-API-Key, and which version of it: a number, or latest; null asks for no key."
  type = object({
    secret  = string
    version = optional(string, "latest")
  })
  default = null

  validation {
    condition     = var.api_key == null || (can(regex("^[A-Za-z0-9_-]{1,255}$", var.api_key.secret)) && can(regex("^(latest|[1-9][0-9]*)$", var.api_key.version)))
    error_message = "api_key must have the id of a secret, such as imagesearch-api-key, and as version latest or a number; got ${jsonencode(var.api_key)}. The key itself does not belong here."
  }
}

variable "dollars_per_day" {
  description = "US dollars that what all clients ask for may cost in a day of UTC, by the prices of docs/costs.md: three quarters for new keywords and searches over everything, a quarter for searches of known keywords, which in the profile gpu keep a GPU awake that costs 25 a day."
  type        = number
  default     = 4

  validation {
    condition     = var.dollars_per_day >= 0.5 && var.dollars_per_day <= 100000
    error_message = "dollars_per_day must be from 0.5 to 100000; got ${var.dollars_per_day}."
  }
}

variable "allowed_origins" {
  description = "Origins of other pages that may call the API, or \"*\" alone."
  type        = list(string)
  default     = []

  validation {
    condition     = var.allowed_origins == tolist(["*"]) || alltrue([for origin in var.allowed_origins : can(regex("^https?://[a-z0-9.-]+(:[0-9]+)?$", origin))])
    error_message = "allowed_origins must be origins such as https://example.com, without a path or a slash at the end, or \"*\" alone; got ${join(", ", var.allowed_origins)}."
  }
}

variable "app_enabled" {
  description = "On one line of the environment's main.tf: whether the web app runs, on Cloud Run; while a window of it is open, its instance is billed."
  type        = bool
  default     = false

  validation {
    condition     = !var.app_enabled || var.door != "iap"
    error_message = "app_enabled must be false with door = \"iap\": the app has no sign-in to reach the API with, and people have the page."
  }
}

variable "app_image" {
  description = "Image of the web app, by digest; needed with app_enabled."
  type        = string
  default     = null

  validation {
    condition     = var.app_image == null ? !var.app_enabled : can(regex("^[^@ ]+@sha256:[0-9a-f]{64}$", var.app_image))
    error_message = "app_image must name an image by its digest, REGISTRY/NAME@sha256:…, where app_enabled is true; got ${var.app_image == null ? "none" : var.app_image}. docs/app.md says how one is made."
  }
}

variable "domain" {
  description = "Domain of an HTTPS load balancer in front of the API; null: the function answers at its own URL."
  type        = string
  default     = null

  validation {
    condition     = var.domain == null || can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain))
    error_message = "domain must be a host name in small letters, such as search.example.com, without https:// and without a path; got \"${coalesce(var.domain, "null")}\"."
  }
}

variable "door" {
  description = "Who may call the API: everyone, as allUsers; everyone_unchecked, by a service that checks nobody, where the organisation forbids allUsers; or iap, who signs in and is among iap_members."
  type        = string
  default     = "everyone"

  validation {
    condition     = contains(["everyone", "everyone_unchecked", "iap"], var.door)
    error_message = "door must be everyone, everyone_unchecked or iap; got \"${var.door}\". For a load balancer in front of it, set domain."
  }

  # IAP stands in a load balancer: cloud.google.com/iap/docs/enabling-cloud-run, read 2026-11. A function's own service
  # may have it besides, which Cloud Functions has no setting for.
  validation {
    condition     = var.door != "iap" || var.domain != null
    error_message = "door = \"iap\" needs a domain, as people sign in at its load balancer: domain = \"search.example.com\"."
  }

  # The same page: IAP answers a preflight of another origin with its own sign-in.
  validation {
    condition     = var.door != "iap" || length(var.allowed_origins) == 0
    error_message = "allowed_origins must be empty with door = \"iap\": nobody signs in on a page of another origin; got ${join(", ", var.allowed_origins)}."
  }
}

variable "iap_members" {
  description = "Who may search with door = \"iap\", as IAM calls them: group:search@example.com, user:one@example.com, domain:example.com."
  type        = list(string)
  default     = []

  validation {
    condition     = (length(var.iap_members) > 0) == (var.door == "iap")
    error_message = "iap_members must name somebody with door = \"iap\", such as group:search@example.com, and be empty otherwise; got ${jsonencode(var.iap_members)} with door = \"${var.door}\"."
  }

  validation {
    condition     = alltrue([for member in var.iap_members : can(regex("^((user|group|serviceAccount):[^@: ]+@[^@: ]+|domain:[a-z0-9.-]+|principal(Set)?://[^ ]+)$", member))])
    error_message = "iap_members must be as IAM writes them, such as group:search@example.com or domain:example.com, and not everyone, for whom there is door = \"everyone\"; got ${jsonencode(var.iap_members)}."
  }
}

variable "private_images" {
  description = "Whether the query function alone reads the stored images, for who may call it, out of a bucket that is closed to the public, as storage.publicAccessPrevention asks."
  type        = bool
  default     = false

  # A public object is read past IAP: neither a bucket's URL nor a backend bucket asks it.
  validation {
    condition     = var.private_images || var.door != "iap"
    error_message = "private_images must be true with door = \"iap\": of a public bucket pictures are read without signing in."
  }
}

variable "retention_days" {
  description = "Days after which images that nobody used are forgotten, with their originals; 0: never."
  type        = number
  default     = 90

  validation {
    condition     = var.retention_days >= 0 && var.retention_days <= 3660 && floor(var.retention_days) == var.retention_days
    error_message = "retention_days must be a whole number from 0 to 3660; got ${var.retention_days}."
  }
}

variable "images_max_age_days" {
  description = "Age at which stored images are deleted, after which older results show no picture; null: never."
  type        = number
  default     = null

  validation {
    condition     = var.images_max_age_days == null ? true : var.images_max_age_days >= 32 && var.images_max_age_days <= 3660 && floor(var.images_max_age_days) == var.images_max_age_days
    error_message = "images_max_age_days must be a whole number from 32, because pools are kept for 31 days, to 3660, or null; got ${coalesce(var.images_max_age_days, 0)}."
  }

  validation {
    condition     = var.images_max_age_days == null || length(var.collections) == 0
    error_message = "images_max_age_days must be null where there are collections, whose previews it would delete while their pictures are there; got ${coalesce(var.images_max_age_days, 0)}."
  }
}

variable "protect_data" {
  description = "Whether Terraform refuses to delete the Firestore database, the one in PostgreSQL and a bucket with images in it."
  type        = bool
  default     = true
}

variable "alert_email" {
  description = "Address that alerts and the budget are sent to; null: alerts show in the console only."
  type        = string
  default     = null

  validation {
    condition     = var.alert_email == null || can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", var.alert_email))
    error_message = "alert_email must be an address such as ops@example.com; got \"${coalesce(var.alert_email, "null")}\"."
  }
}

variable "notification_channels" {
  description = "Channels of Cloud Monitoring that alerts are sent to beside alert_email, such as one of PagerDuty, Slack or Pub/Sub: projects/PROJECT/notificationChannels/NUMBER."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.notification_channels : can(regex("^projects/[^/]+/notificationChannels/[0-9]+$", name))])
    error_message = "notification_channels must be names such as projects/my-project/notificationChannels/123, which `gcloud beta monitoring channels list` has; got ${jsonencode(var.notification_channels)}."
  }
}

variable "budget" {
  description = "Monthly amount at which the billing account's people are told, in its own currency, and whether new keywords stop once it is spent."
  type = object({
    billing_account = string
    monthly_amount  = number
    currency        = optional(string, "USD")
    stops_new_work  = optional(bool, false)
  })
  default = null

  validation {
    condition     = var.budget == null ? true : can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.budget.billing_account))
    error_message = "budget.billing_account must look like 012345-6789AB-CDEF01, as gcloud billing accounts list shows it; got \"${try(var.budget.billing_account, "-")}\"."
  }

  validation {
    condition     = var.budget == null ? true : var.budget.monthly_amount >= 1 && var.budget.monthly_amount <= 1000000000 && floor(var.budget.monthly_amount) == var.budget.monthly_amount
    error_message = "budget.monthly_amount must be a whole number from 1 to 1000000000; got ${try(var.budget.monthly_amount, 0)}."
  }

  validation {
    condition     = var.budget == null ? true : can(regex("^[A-Z]{3}$", var.budget.currency))
    error_message = "budget.currency must be three capitals, such as USD, and the billing account's own; got \"${try(var.budget.currency, "-")}\"."
  }
}

variable "traces_enabled" {
  description = "Whether spans of searches, fetches and batches are sent to Cloud Trace."
  type        = bool
  default     = false
}

variable "objectives" {
  description = "Shares of the requests that are to go well over four weeks: answered without an error, and, of searches that wait for nothing, within 2 s."
  type = object({
    availability = optional(number, 0.995)
    latency      = optional(number, 0.95)
  })
  default = {}

  # Below, no share of bad requests would be 14.4 times what is allowed.
  validation {
    condition     = alltrue([for share in values(var.objectives) : share >= 0.94 && share <= 0.9999])
    error_message = "objectives: each must be a share from 0.94 to 0.9999, such as 0.995 for 99.5 %; got ${jsonencode(var.objectives)}."
  }
}

variable "drift_schedule" {
  description = "When drift.yaml looks whether what is there is what the configuration says, in five fields of cron and UTC; null: never."
  type        = string
  default     = null

  validation {
    condition     = var.drift_schedule == null || try(length(split(" ", var.drift_schedule)) == 5 && alltrue([for at, field in local.cron_fields : can(regex(at < 2 ? field.one : field.any, split(" ", var.drift_schedule)[at]))]), false)
    error_message = "drift_schedule must be five fields of cron that start once a day at most, such as 41 5 * * 1 for Mondays at 5:41, or null; got \"${coalesce(var.drift_schedule, "-")}\"${join("", [for at, field in local.cron_fields : "; the ${field.name} must be ${at < 2 ? "one number" : "*, or values"} of ${field.bounds}, got ${try(split(" ", var.drift_schedule)[at], "none")}" if !can(regex(at < 2 ? field.one : field.any, split(" ", var.drift_schedule)[at]))])}."
  }

  validation {
    condition     = var.drift_schedule == null || var.state_bucket != null
    error_message = "drift_schedule needs state_bucket, of which the plan is."
  }
}

variable "update_schedule" {
  description = "When update.yaml raises what is pinned, tests it and leaves a patch, in five fields of cron and UTC; null: never."
  type        = string
  default     = null

  validation {
    condition     = var.update_schedule == null || try(length(split(" ", var.update_schedule)) == 5 && alltrue([for at, field in local.cron_fields : can(regex(at < 2 ? field.one : field.any, split(" ", var.update_schedule)[at]))]), false)
    error_message = "update_schedule must be five fields of cron that start once a day at most, such as 11 3 1 * * for the first of each month at 3:11, or null; got \"${coalesce(var.update_schedule, "-")}\"${join("", [for at, field in local.cron_fields : "; the ${field.name} must be ${at < 2 ? "one number" : "*, or values"} of ${field.bounds}, got ${try(split(" ", var.update_schedule)[at], "none")}" if !can(regex(at < 2 ? field.one : field.any, split(" ", var.update_schedule)[at]))])}."
  }
}

variable "scan_images" {
  description = "Whether Artifact Analysis looks through each new image for known vulnerabilities, which costs once for each: docs/costs.md."
  type        = bool
  default     = false
}

variable "binary_authorization" {
  description = "On one line of the environment's main.tf: whether the inference services and the web app run only images that Cloud Build built in this project, and whether the project's one policy that says so is made here; null: any image."
  type = object({
    makes_policy = optional(bool, true)
  })
  default = null

  # Cloud Build attests what it pushes to Artifact Registry, in the project that it builds in:
  # cloud.google.com/build/docs/securing-builds/generate-validate-build-provenance, read 2026-11.
  validation {
    condition = var.binary_authorization == null || alltrue([for image in compact([var.inference_image, var.app_image]) :
      can(regex("^[a-z0-9-]+-docker[.]pkg[.]dev/${var.project_id}/", image))
    ])
    error_message = "binary_authorization must be null for an image that no Cloud Build of ${var.project_id} pushed to its Artifact Registry, REGION-docker.pkg.dev/${var.project_id}/…; inference_image is \"${var.inference_image}\", and app_image ${jsonencode(var.app_image)}."
  }
}

variable "state_bucket" {
  description = "Bucket of Terraform's state, which the deployer may then read and write, and the planner read; null: nothing is deployed by Cloud Build."
  type        = string
  default     = null

  validation {
    condition     = var.state_bucket == null || can(regex("^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$", var.state_bucket))
    error_message = "state_bucket must be the name of a bucket, without gs://; got \"${coalesce(var.state_bucket, "null")}\"."
  }
}
