variable "name" {
  description = "The role's name."
  type        = string
}

variable "cluster_name" {
  description = "The cluster that the pipeline deploys to."
  type        = string
}

variable "cluster_arn" {
  description = "The same, as ARN."
  type        = string
}

variable "identity_provider_arn" {
  description = "The cluster's identity provider."
  type        = string
}

variable "identity_provider_issuer" {
  description = "Its issuer, without https://."
  type        = string
}

variable "service_account" {
  description = "The one service account that may take the role."
  type = object({
    namespace = string
    name      = string
  })
}

variable "repository_arns" {
  description = "Image repositories to push to and pull from."
  type        = list(string)
}

variable "model_bucket_arn" {
  description = "The bucket with the models."
  type        = string
}

variable "key_arn" {
  description = "The key of that bucket."
  type        = string
}
