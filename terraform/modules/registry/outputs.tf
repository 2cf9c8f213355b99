output "host" {
  description = "The registry's host name."
  value       = "${data.aws_caller_identity.current.account_id}.dkr.ecr.${data.aws_region.current.region}.amazonaws.com"
}

output "repositories" {
  description = "Repository addresses by NAMESPACE/NAME."
  value       = { for model, repository in aws_ecr_repository.this : model => repository.repository_url }
}

output "repository_arns" {
  description = "The repositories' ARNs."
  value       = [for repository in aws_ecr_repository.this : repository.arn]
}
