variable "name" {
  description = "What the repositories' names begin with."
  type        = string
}

variable "models" {
  description = "Deployments, as NAMESPACE/NAME."
  type        = set(string)
}

variable "key_arn" {
  description = "The key that encrypts images."
  type        = string
}
