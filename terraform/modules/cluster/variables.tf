variable "name" {
  description = "The cluster's name."
  type        = string
}

variable "kubernetes_version" {
  description = "The minor version, such as 1.34."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets for nodes and for the control plane's interfaces, in two zones or more."
  type        = list(string)
}

variable "operator_cidrs" {
  description = "From where people and CI reach the API."
  type        = list(string)
}

variable "node_groups" {
  description = "Node groups by name; sizes in nodes and GiB."
  type = map(object({
    instance_types = list(string)
    min_size       = number
    max_size       = number
    volume_gib     = number
  }))
}

variable "key_arn" {
  description = "The key for secrets, node volumes and logs."
  type        = string
}
