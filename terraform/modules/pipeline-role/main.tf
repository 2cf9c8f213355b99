# What the pipeline may do, and nothing else: push and pull images of its models, read and write
# models, and be known to the cluster. Model servers have no role: their model is in their image.

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [var.identity_provider_arn]
    }

    # Equals and not like: one service account, and no other of the namespace.
    condition {
      test     = "StringEquals"
      variable = "${var.identity_provider_issuer}:sub"
      values   = ["system:serviceaccount:${var.service_account.namespace}:${var.service_account.name}"]
    }

    condition {
      test     = "StringEquals"
      variable = "${var.identity_provider_issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "this" {
  name                 = var.name
  assume_role_policy   = data.aws_iam_policy_document.assume.json
  max_session_duration = 3600
}

data "aws_iam_policy_document" "this" {
  # checkov:skip=CKV_AWS_356: ecr:GetAuthorizationToken takes no resource
  statement {
    sid       = "RegistryLogin"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  # No deletion: what ran once can be looked at, and rolled back to.
  statement {
    sid = "Images"
    actions = [
      "ecr:BatchCheckLayerAvailability",
      "ecr:BatchGetImage",
      "ecr:CompleteLayerUpload",
      "ecr:DescribeImages",
      "ecr:DescribeImageScanFindings",
      "ecr:GetDownloadUrlForLayer",
      "ecr:InitiateLayerUpload",
      "ecr:PutImage",
      "ecr:UploadLayerPart",
    ]
    resources = var.repository_arns
  }

  statement {
    sid       = "ModelList"
    actions   = ["s3:ListBucket"]
    resources = [var.model_bucket_arn]
  }

  statement {
    sid       = "Models"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${var.model_bucket_arn}/*"]
  }

  # As S3 uses it for objects, and not by itself.
  statement {
    sid       = "ModelEncryption"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.key_arn]

    condition {
      test     = "StringLike"
      variable = "kms:ViaService"
      values   = ["s3.*.amazonaws.com"]
    }
  }

  statement {
    sid       = "Cluster"
    actions   = ["eks:DescribeCluster"]
    resources = [var.cluster_arn]
  }
}

resource "aws_iam_role_policy" "this" {
  name   = "pipeline"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.this.json
}

# In the cluster it is a member of one group; the Role in kustomize/components/deployer-rbac says what
# a deployer may do, in each namespace.
resource "aws_eks_access_entry" "this" {
  cluster_name      = var.cluster_name
  principal_arn     = aws_iam_role.this.arn
  kubernetes_groups = [local.group]
  type              = "STANDARD"
}

locals {
  group = "mlifecycle-deployers"
}
