# The cluster: its API private, its secrets encrypted, its identities given by access entries.

resource "aws_cloudwatch_log_group" "control_plane" {
  # EKS writes to this name and to no other.
  name              = "/aws/eks/${var.name}/cluster"
  retention_in_days = 365
  kms_key_id        = var.key_arn
}

data "aws_iam_policy_document" "control_plane_assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["eks.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "control_plane" {
  name               = "${var.name}-control-plane"
  assume_role_policy = data.aws_iam_policy_document.control_plane_assume.json
}

data "aws_partition" "current" {}

locals {
  managed = "arn:${data.aws_partition.current.partition}:iam::aws:policy"
}

resource "aws_iam_role_policy_attachment" "control_plane" {
  role       = aws_iam_role.control_plane.name
  policy_arn = "${local.managed}/AmazonEKSClusterPolicy"
}

resource "aws_eks_cluster" "this" {
  name                      = var.name
  version                   = var.kubernetes_version
  role_arn                  = aws_iam_role.control_plane.arn
  enabled_cluster_log_types = ["api", "audit", "authenticator", "controllerManager", "scheduler"]

  vpc_config {
    subnet_ids              = var.subnet_ids
    security_group_ids      = [aws_security_group.api.id]
    endpoint_private_access = true
    endpoint_public_access  = false
  }

  encryption_config {
    resources = ["secrets"]

    provider {
      key_arn = var.key_arn
    }
  }

  # Who may do what is said by access entries, and by no ConfigMap in the cluster.
  access_config {
    authentication_mode                         = "API"
    bootstrap_cluster_creator_admin_permissions = true
  }

  # Out of standard support, a cluster is upgraded; it does not go on at a multiple of the price.
  upgrade_policy {
    support_type = "STANDARD"
  }

  # A role without its policy cannot take down what the cluster made, and a log group that comes too
  # late is made by EKS itself, unencrypted.
  depends_on = [
    aws_iam_role_policy_attachment.control_plane,
    aws_cloudwatch_log_group.control_plane,
  ]
}

# People and CI reach the private API from these addresses; nodes are let in by EKS itself.
resource "aws_security_group" "api" {
  name        = "${var.name}-api"
  description = "Who reaches the API of ${var.name} from outside the cluster"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-api" }
}

resource "aws_vpc_security_group_ingress_rule" "api" {
  for_each = toset(var.operator_cidrs)

  security_group_id = aws_security_group.api.id
  description       = "Operators and CI"
  cidr_ipv4         = each.value
  from_port         = 443
  to_port           = 443
  ip_protocol       = "tcp"
}
