variable "name" {
  description = "The bucket's name, unique among everybody's."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.name))
    error_message = "name: expected 3 to 63 lower-case letters, digits and hyphens."
  }
}

variable "key_arn" {
  description = "The key that encrypts objects; S3's own when there is none."
  type        = string
  default     = null
}

variable "access_log_to" {
  description = "The bucket that gets this one's access log; none for the log's own bucket."
  type        = string
  default     = null
}

variable "keep_days" {
  description = "After how many days objects are deleted; never when it is null."
  type        = number
  default     = null
}

variable "log_delivery" {
  description = "Whether other buckets of the account write their access logs here."
  type        = bool
  default     = false
}

variable "balancer_logs" {
  description = "Whether load balancers of the account write their access logs here."
  type        = bool
  default     = false
}
