variable "region" {
  description = "The AWS region, such as eu-central-1."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region: expected the name of an AWS region, such as eu-central-1."
  }
}

variable "account_id" {
  description = "The account that everything belongs to."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id: expected the twelve digits of an AWS account, in quotes."
  }
}

variable "environment" {
  description = "The pipeline's environment that runs here."
  type        = string

  validation {
    condition     = contains(["dev", "staging", "prod"], var.environment)
    error_message = "environment: expected dev, staging or prod."
  }
}

variable "name" {
  description = "What every name begins with."
  type        = string
  default     = "mlifecycle"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "name: expected 3 to 20 lower-case letters, digits and hyphens, a letter first."
  }
}

variable "tags" {
  description = "Tags of everything, beside those that this configuration sets."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(setintersection(keys(var.tags), ["managed-by", "environment"])) == 0
    error_message = "tags: managed-by and environment are set by this configuration."
  }
}

variable "cidr" {
  description = "The addresses of the VPC, a /16 to /20."
  type        = string
  default     = "10.42.0.0/16"

  validation {
    condition = (
      can(cidrnetmask(var.cidr)) &&
      contains(range(16, 21), try(tonumber(split("/", var.cidr)[1]), 0))
    )
    error_message = "cidr: expected an IPv4 block from /16 to /20, such as 10.42.0.0/16."
  }
}

variable "zones" {
  description = "The two or three availability zones over which nodes, servers and databases are spread."
  type        = list(string)

  validation {
    condition = (
      contains([2, 3], length(distinct(var.zones))) && length(distinct(var.zones)) == length(var.zones) &&
      alltrue([for zone in var.zones : can(regex("^${var.region}[a-z]$", zone))])
    )
    error_message = "zones: expected two or three different zones of the region, such as eu-central-1a."
  }
}

variable "operator_cidrs" {
  description = "Addresses from which people and CI reach the cluster's API and the catalog, through a VPN or a peering."
  type        = list(string)
  default     = []

  validation {
    condition = alltrue([
      for cidr in var.operator_cidrs :
      can(cidrnetmask(cidr)) && try(tonumber(split("/", cidr)[1]), 0) >= 16
    ])
    error_message = "operator_cidrs: expected IPv4 blocks of at most a /16; never 0.0.0.0/0."
  }
}

variable "kubernetes_version" {
  description = "The cluster's minor version. An upgrade goes one minor at a time."
  type        = string
  default     = "1.34"

  validation {
    condition     = can(regex("^1\\.(3[2-9]|[4-9][0-9])$", var.kubernetes_version))
    error_message = "kubernetes_version: expected 1.32 or later, in quotes."
  }
}

variable "node_groups" {
  description = "Managed node groups by name: instance types, the least and most nodes, GiB of each node's encrypted volume."
  type = map(object({
    instance_types = list(string)
    min_size       = number
    max_size       = number
    volume_gib     = optional(number, 50)
  }))
  default = {
    servers = {
      instance_types = ["m7i.large", "m6i.large"]
      min_size       = 2
      max_size       = 6
    }
  }

  validation {
    condition = length(var.node_groups) > 0 && alltrue([
      for group in values(var.node_groups) :
      length(group.instance_types) > 0 && group.min_size >= 1 &&
      group.max_size >= group.min_size && group.volume_gib >= 20
    ])
    error_message = "node_groups: expected at least one; each with instance types, 1 <= min_size <= max_size, volume_gib >= 20."
  }
}

variable "models" {
  description = "Deployments that get an image repository, as NAMESPACE/NAME of their manifests."
  type        = set(string)

  validation {
    condition = length(var.models) > 0 && alltrue([
      for model in var.models : can(regex("^[a-z][a-z0-9-]*/[a-z][a-z0-9-]*$", model))
    ])
    error_message = "models: expected at least one NAMESPACE/NAME, such as payments-risk/fraud-detector."
  }
}

variable "pipeline_service_account" {
  description = "The service account of the cluster as which the pipeline runs."
  type = object({
    namespace = optional(string, "mlifecycle")
    name      = optional(string, "pipeline")
  })
  default = {}

  validation {
    condition = alltrue([
      for part in values(var.pipeline_service_account) : can(regex("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", part))
    ])
    error_message = "pipeline_service_account: expected names of Kubernetes objects; a * would give the role to others."
  }
}

variable "catalog_host" {
  description = "The host name of the MLflow server."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9-]+(\\.[a-z0-9-]+)+$", var.catalog_host))
    error_message = "catalog_host: expected a host name such as mlflow.ml.example.com."
  }
}

variable "zone_id" {
  description = "The private Route 53 zone that catalog_host belongs to."
  type        = string

  validation {
    condition     = can(regex("^Z[A-Z0-9]+$", var.zone_id))
    error_message = "zone_id: expected the ID of a hosted zone, which begins with Z."
  }
}

variable "certificate_arn" {
  description = "The ACM certificate for catalog_host, in the same region."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:acm:[a-z0-9-]+:[0-9]{12}:certificate/", var.certificate_arn))
    error_message = "certificate_arn: expected the ARN of an ACM certificate."
  }
}

variable "mlflow_image" {
  description = "The MLflow server's image, by digest; it must have psycopg2 and boto3."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9.-]+(:[0-9]+)?/[a-z0-9._/-]+(:[A-Za-z0-9._-]+)?@sha256:[0-9a-f]{64}$", var.mlflow_image))
    error_message = "mlflow_image: expected REGISTRY/REPOSITORY@sha256:DIGEST; a tag may be another image tomorrow."
  }
}

variable "database_password_version" {
  description = "Raise it to give MLflow's database a new password and restart the server with it."
  type        = number
  default     = 1

  validation {
    condition     = var.database_password_version >= 1 && floor(var.database_password_version) == var.database_password_version
    error_message = "database_password_version: expected a whole number from 1."
  }
}

variable "database_instance_class" {
  description = "The size of MLflow's database."
  type        = string
  default     = "db.t4g.small"

  validation {
    condition     = startswith(var.database_instance_class, "db.")
    error_message = "database_instance_class: expected a class such as db.t4g.small."
  }
}
