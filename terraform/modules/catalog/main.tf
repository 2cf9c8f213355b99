# The MLflow server, on Fargate: the catalog says what serves, and must answer while a cluster is down.

locals {
  database = "mlflow"
  user     = "mlflow"
  port     = 5000
}

resource "aws_cloudwatch_log_group" "server" {
  name              = "/ecs/${var.name}/catalog"
  retention_in_days = 365
  kms_key_id        = var.key_arn
}

resource "aws_ecs_cluster" "this" {
  name = "${var.name}-catalog"

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_task_definition" "server" {
  family                   = "${var.name}-catalog"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 512
  memory                   = 2048
  execution_role_arn       = aws_iam_role.start.arn
  task_role_arn            = aws_iam_role.server.arn

  container_definitions = jsonencode([
    {
      name      = "mlflow"
      image     = var.image
      essential = true
      user      = "10001:10001"
      command = [
        "mlflow", "server",
        "--host", "0.0.0.0",
        "--port", tostring(local.port),
        "--serve-artifacts",
        "--artifacts-destination", "s3://${var.artifacts.name}/artifacts",
        # The password is no part of it: libpq takes PGPASSWORD.
        "--backend-store-uri", "postgresql+psycopg2://${local.user}@${aws_db_instance.this.endpoint}/${local.database}?sslmode=require",
        "--allowed-hosts", var.host,
      ]
      environment = [
        { name = "AWS_REGION", value = var.region },
        # A new password is a new task definition, and so a restart.
        { name = "DATABASE_PASSWORD_VERSION", value = tostring(var.password_version) },
      ]
      secrets                = [{ name = "PGPASSWORD", valueFrom = aws_secretsmanager_secret.password.arn }]
      portMappings           = [{ containerPort = local.port, protocol = "tcp" }]
      readonlyRootFilesystem = true
      linuxParameters        = { initProcessEnabled = true, capabilities = { drop = ["ALL"] } }
      mountPoints            = [{ sourceVolume = "tmp", containerPath = "/tmp", readOnly = false }]
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          awslogs-group         = aws_cloudwatch_log_group.server.name
          awslogs-region        = var.region
          awslogs-stream-prefix = "mlflow"
        }
      }
    }
  ])

  volume {
    name = "tmp"
  }

  # The value must be there before a task asks for it.
  depends_on = [aws_secretsmanager_secret_version.password]
}

resource "aws_ecs_service" "server" {
  name             = "mlflow"
  cluster          = aws_ecs_cluster.this.id
  task_definition  = aws_ecs_task_definition.server.arn
  desired_count    = var.highly_available ? 2 : 1
  launch_type      = "FARGATE"
  platform_version = "LATEST"

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.server_subnet_ids
    security_groups  = [aws_security_group.server.id]
    assign_public_ip = false
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.server.arn
    container_name   = "mlflow"
    container_port   = local.port
  }

  depends_on = [aws_lb_listener.https]
}
