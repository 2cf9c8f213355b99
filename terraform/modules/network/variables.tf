variable "name" {
  description = "What names begin with."
  type        = string
}

variable "cidr" {
  description = "The VPC's addresses."
  type        = string
}

variable "zones" {
  description = "The availability zones, two or three."
  type        = list(string)

  validation {
    condition     = contains([2, 3], length(distinct(var.zones)))
    error_message = "zones: expected two or three different ones."
  }
}

variable "nat_gateway_per_zone" {
  description = "Whether every zone has a way out of its own."
  type        = bool
}

variable "key_arn" {
  description = "The key that encrypts the flow log."
  type        = string
}
