output "arn" {
  description = "The role's ARN."
  value       = aws_iam_role.this.arn
}

output "kubernetes_group" {
  description = "Its group in the cluster."
  value       = one(aws_eks_access_entry.this.kubernetes_groups)
}
