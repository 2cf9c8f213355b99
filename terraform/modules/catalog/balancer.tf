# The way in: HTTPS from the cluster and from operators, inside the VPC.

resource "aws_security_group" "balancer" {
  name        = "${var.name}-catalog-balancer"
  description = "Who reaches the catalog"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-catalog-balancer" }
}

resource "aws_vpc_security_group_ingress_rule" "cluster" {
  security_group_id            = aws_security_group.balancer.id
  description                  = "Pods and nodes of the cluster"
  referenced_security_group_id = var.client_group_id
  from_port                    = 443
  to_port                      = 443
  ip_protocol                  = "tcp"
}

resource "aws_vpc_security_group_ingress_rule" "operators" {
  for_each = toset(var.operator_cidrs)

  security_group_id = aws_security_group.balancer.id
  description       = "Operators and CI"
  cidr_ipv4         = each.value
  from_port         = 443
  to_port           = 443
  ip_protocol       = "tcp"
}

resource "aws_vpc_security_group_egress_rule" "balancer" {
  security_group_id            = aws_security_group.balancer.id
  description                  = "The MLflow server"
  referenced_security_group_id = aws_security_group.server.id
  from_port                    = local.port
  to_port                      = local.port
  ip_protocol                  = "tcp"
}

resource "aws_security_group" "server" {
  name        = "${var.name}-catalog-server"
  description = "The MLflow server: asked through the balancer alone"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-catalog-server" }
}

resource "aws_vpc_security_group_ingress_rule" "server" {
  security_group_id            = aws_security_group.server.id
  description                  = "The balancer"
  referenced_security_group_id = aws_security_group.balancer.id
  from_port                    = local.port
  to_port                      = local.port
  ip_protocol                  = "tcp"
}

resource "aws_vpc_security_group_egress_rule" "server_database" {
  security_group_id            = aws_security_group.server.id
  description                  = "Its database"
  referenced_security_group_id = aws_security_group.database.id
  from_port                    = 5432
  to_port                      = 5432
  ip_protocol                  = "tcp"
}

# Addresses of AWS's services change, and there is no name for them in a rule.
#trivy:ignore:AVD-AWS-0104
resource "aws_vpc_security_group_egress_rule" "server_https" {
  security_group_id = aws_security_group.server.id
  description       = "S3, Secrets Manager, logs and the image's registry, whose addresses change"
  cidr_ipv4         = "0.0.0.0/0"
  from_port         = 443
  to_port           = 443
  ip_protocol       = "tcp"
}

resource "aws_lb" "this" {
  # checkov:skip=CKV2_AWS_28: reached from inside the VPC alone; a firewall for web requests guards public ones
  name                       = "${var.name}-catalog"
  internal                   = true
  load_balancer_type         = "application"
  subnets                    = var.server_subnet_ids
  security_groups            = [aws_security_group.balancer.id]
  drop_invalid_header_fields = true
  enable_deletion_protection = true

  access_logs {
    bucket  = var.access_log_to
    prefix  = "balancers"
    enabled = true
  }
}

resource "aws_lb_target_group" "server" {
  name        = "${var.name}-catalog"
  port        = local.port
  protocol    = "HTTP"
  target_type = "ip"
  vpc_id      = var.vpc_id

  health_check {
    path    = "/health"
    matcher = "200"
  }
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.certificate_arn

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.server.arn
  }
}

resource "aws_route53_record" "this" {
  zone_id = var.zone_id
  name    = var.host
  type    = "A"

  alias {
    name                   = aws_lb.this.dns_name
    zone_id                = aws_lb.this.zone_id
    evaluate_target_health = true
  }
}
