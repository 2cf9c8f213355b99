output "name" {
  description = "The cluster's name, once it has nodes."
  value       = aws_eks_cluster.this.name

  depends_on = [aws_eks_node_group.this]
}

output "arn" {
  description = "The cluster's ARN."
  value       = aws_eks_cluster.this.arn
}

output "security_group_id" {
  description = "The group of nodes and pods, made by EKS."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}

output "identity_provider_arn" {
  description = "What service accounts' roles trust."
  value       = aws_iam_openid_connect_provider.this.arn
}

output "identity_provider_issuer" {
  description = "The issuer of service accounts' tokens, without https://."
  value       = local.issuer
}
