# MLflow's database: in subnets without a way out, asked by the server alone, over TLS alone.

# Made for each apply and kept in no state: the two places below get it write-only.
ephemeral "aws_secretsmanager_random_password" "this" {
  password_length     = 40
  exclude_punctuation = true
}

resource "aws_secretsmanager_secret" "password" {
  # checkov:skip=CKV2_AWS_57: password_version rotates it, and restarts the server with the new one
  name       = "${var.name}-catalog-database"
  kms_key_id = var.key_arn
}

resource "aws_secretsmanager_secret_version" "password" {
  secret_id                = aws_secretsmanager_secret.password.id
  secret_string_wo         = ephemeral.aws_secretsmanager_random_password.this.random_password
  secret_string_wo_version = var.password_version
}

resource "aws_db_subnet_group" "this" {
  name       = "${var.name}-catalog"
  subnet_ids = var.database_subnet_ids
}

resource "aws_security_group" "database" {
  name        = "${var.name}-catalog-database"
  description = "MLflow's database: asked by the MLflow server alone"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-catalog-database" }
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  security_group_id            = aws_security_group.database.id
  description                  = "The MLflow server"
  referenced_security_group_id = aws_security_group.server.id
  from_port                    = 5432
  to_port                      = 5432
  ip_protocol                  = "tcp"
}

resource "aws_db_parameter_group" "this" {
  name   = "${var.name}-catalog"
  family = "postgres17"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  parameter {
    name  = "log_statement"
    value = "ddl"
  }

  # Milliseconds: slower statements are logged.
  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }
}

data "aws_iam_policy_document" "monitoring_assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["monitoring.rds.amazonaws.com"]
    }
  }
}

data "aws_partition" "current" {}

resource "aws_iam_role" "monitoring" {
  name               = "${var.name}-catalog-monitoring"
  assume_role_policy = data.aws_iam_policy_document.monitoring_assume.json
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  role       = aws_iam_role.monitoring.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}

# MLflow cannot log in by IAM: the tokens end after fifteen minutes.
#trivy:ignore:AVD-AWS-0176
resource "aws_db_instance" "this" {
  # checkov:skip=CKV_AWS_161: MLflow cannot log in by IAM, whose tokens end after fifteen minutes
  identifier     = "${var.name}-catalog"
  engine         = "postgres"
  engine_version = "17"
  instance_class = var.instance_class
  db_name        = local.database
  port           = 5432

  username            = local.user
  password_wo         = ephemeral.aws_secretsmanager_random_password.this.random_password
  password_wo_version = var.password_version

  allocated_storage     = 20
  max_allocated_storage = 200
  storage_type          = "gp3"
  storage_encrypted     = true
  kms_key_id            = var.key_arn

  multi_az               = var.highly_available
  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.database.id]
  parameter_group_name   = aws_db_parameter_group.this.name
  publicly_accessible    = false

  auto_minor_version_upgrade      = true
  backup_retention_period         = 30
  copy_tags_to_snapshot           = true
  deletion_protection             = true
  skip_final_snapshot             = false
  final_snapshot_identifier       = "${var.name}-catalog-last"
  enabled_cloudwatch_logs_exports = ["postgresql", "upgrade"]

  monitoring_interval             = 60
  monitoring_role_arn             = aws_iam_role.monitoring.arn
  performance_insights_enabled    = true
  performance_insights_kms_key_id = var.key_arn

  depends_on = [aws_iam_role_policy_attachment.monitoring]
}
