variable "region" {
  description = "The AWS region of the state."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region: expected the name of an AWS region, such as eu-central-1."
  }
}

variable "account_id" {
  description = "The account that the state belongs to."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id: expected the twelve digits of an AWS account, in quotes."
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
