variable "name" {
  description = "The key's alias, and a part of the names of the log groups that it may encrypt."
  type        = string
}

variable "description" {
  description = "What the key is for."
  type        = string
}

variable "log_groups" {
  description = "Whether CloudWatch encrypts log groups with it."
  type        = bool
  default     = false
}

variable "autoscaling" {
  description = "Whether node groups have volumes encrypted with it."
  type        = bool
  default     = false
}
