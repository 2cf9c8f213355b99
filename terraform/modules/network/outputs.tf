output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "private_subnet_ids" {
  description = "Subnets with a way out, one a zone."
  value       = [for subnet in aws_subnet.private : subnet.id]
}

output "database_subnet_ids" {
  description = "Subnets without a way out, one a zone."
  value       = [for subnet in aws_subnet.database : subnet.id]
}
