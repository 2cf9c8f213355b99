# What the pipeline deploys to: a network, a cluster in it, a registry for images, buckets for models,
# MLflow as the catalog, and the one role that the pipeline itself has.

locals {
  name       = "${var.name}-${var.environment}"
  production = var.environment == "prod"

  tags = merge(var.tags, {
    managed-by  = "terraform"
    environment = var.environment
  })
}

module "key" {
  source = "./modules/key"

  name        = local.name
  description = "Everything at rest of ${local.name}"
  # Who uses the key for us: logs, the node groups' volumes.
  log_groups  = true
  autoscaling = true
}

module "network" {
  source = "./modules/network"

  name    = local.name
  cidr    = var.cidr
  zones   = var.zones
  key_arn = module.key.arn
  # One for all zones is cheaper, and takes the others' way out with it when its zone fails.
  nat_gateway_per_zone = local.production
}

module "cluster" {
  source = "./modules/cluster"

  name               = local.name
  kubernetes_version = var.kubernetes_version
  vpc_id             = module.network.vpc_id
  subnet_ids         = module.network.private_subnet_ids
  operator_cidrs     = var.operator_cidrs
  node_groups        = var.node_groups
  key_arn            = module.key.arn
}

module "registry" {
  source = "./modules/registry"

  name    = local.name
  models  = var.models
  key_arn = module.key.arn
}

module "access_logs" {
  source = "./modules/bucket"

  name          = "${local.name}-access-logs-${var.account_id}"
  keep_days     = 365
  log_delivery  = true
  balancer_logs = true
}

module "models" {
  source = "./modules/bucket"

  name          = "${local.name}-models-${var.account_id}"
  key_arn       = module.key.arn
  access_log_to = module.access_logs.name
}

module "artifacts" {
  source = "./modules/bucket"

  name          = "${local.name}-catalog-${var.account_id}"
  key_arn       = module.key.arn
  access_log_to = module.access_logs.name
}

module "catalog" {
  source = "./modules/catalog"

  name                = local.name
  region              = var.region
  vpc_id              = module.network.vpc_id
  server_subnet_ids   = module.network.private_subnet_ids
  database_subnet_ids = module.network.database_subnet_ids
  client_group_id     = module.cluster.security_group_id
  operator_cidrs      = var.operator_cidrs
  image               = var.mlflow_image
  host                = var.catalog_host
  zone_id             = var.zone_id
  certificate_arn     = var.certificate_arn
  artifacts           = { name = module.artifacts.name, arn = module.artifacts.arn }
  access_log_to       = module.access_logs.name
  key_arn             = module.key.arn
  password_version    = var.database_password_version
  instance_class      = var.database_instance_class
  highly_available    = local.production
}

module "pipeline_role" {
  source = "./modules/pipeline-role"

  name                     = "${local.name}-pipeline"
  cluster_name             = module.cluster.name
  cluster_arn              = module.cluster.arn
  identity_provider_arn    = module.cluster.identity_provider_arn
  identity_provider_issuer = module.cluster.identity_provider_issuer
  service_account          = var.pipeline_service_account
  repository_arns          = module.registry.repository_arns
  model_bucket_arn         = module.models.arn
  key_arn                  = module.key.arn
}
