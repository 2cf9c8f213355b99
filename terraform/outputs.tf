# What the pipeline is given: terraform/README.md says which goes where.

output "region" {
  description = "The region that everything is in."
  value       = var.region
}

output "cluster_name" {
  description = "For `aws eks update-kubeconfig --name`."
  value       = module.cluster.name
}

output "registry" {
  description = "The registry's host: what a deployment policy has to allow."
  value       = module.registry.host
}

output "repositories" {
  description = "The image repository of each deployment, by NAMESPACE/NAME: the pipeline's --registry."
  value       = module.registry.repositories
}

output "model_bucket" {
  description = "Where models are put: spec.model.uri is s3://BUCKET/…"
  value       = module.models.name
}

output "catalog_uri" {
  description = "MLFLOW_TRACKING_URI, or the pipeline's --catalog."
  value       = module.catalog.uri
}

output "pipeline_role_arn" {
  description = "The annotation eks.amazonaws.com/role-arn of the pipeline's service account."
  value       = module.pipeline_role.arn
}

output "deployer_group" {
  description = "The Kubernetes group that the role has in the cluster; bind it to the deployer's Role."
  value       = module.pipeline_role.kubernetes_group
}
