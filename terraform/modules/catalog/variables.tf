variable "name" {
  description = "What names begin with."
  type        = string
}

variable "region" {
  description = "The region."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "server_subnet_ids" {
  description = "Subnets with a way out, for server and balancer."
  type        = list(string)
}

variable "database_subnet_ids" {
  description = "Subnets without a way out, for the database."
  type        = list(string)
}

variable "client_group_id" {
  description = "The security group of the pods that ask the catalog."
  type        = string
}

variable "operator_cidrs" {
  description = "From where people and CI ask it."
  type        = list(string)
}

variable "image" {
  description = "The MLflow server's image, by digest."
  type        = string
}

variable "host" {
  description = "Its host name."
  type        = string
}

variable "zone_id" {
  description = "The hosted zone of that name."
  type        = string
}

variable "certificate_arn" {
  description = "The certificate for that name."
  type        = string
}

variable "artifacts" {
  description = "The bucket for artifacts."
  type = object({
    name = string
    arn  = string
  })
}

variable "access_log_to" {
  description = "The bucket for the balancer's access log."
  type        = string
}

variable "key_arn" {
  description = "The key for database, secret and logs."
  type        = string
}

variable "password_version" {
  description = "Another number is another password."
  type        = number
}

variable "instance_class" {
  description = "The database's size."
  type        = string
}

variable "highly_available" {
  description = "Whether server and database run in two zones."
  type        = bool
}
