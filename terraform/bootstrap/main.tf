# Where the state of everything else is kept, and the table that lets one change it at a time. Applied
# once, with its own state on disk: it is what must be there before a state can be anywhere.

terraform {
  required_version = ">= 1.11.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "6.62.0"
    }
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = { managed-by = "terraform" }
  }
}

module "key" {
  source = "../modules/key"

  name        = "${var.name}-state"
  description = "Terraform's state of ${var.name}"
}

module "access_logs" {
  source = "../modules/bucket"

  name         = "${var.name}-state-access-logs-${var.account_id}"
  keep_days    = 365
  log_delivery = true
}

module "state" {
  source = "../modules/bucket"

  name          = "${var.name}-state-${var.account_id}"
  key_arn       = module.key.arn
  access_log_to = module.access_logs.name
}

resource "aws_dynamodb_table" "locks" {
  name                        = "${var.name}-locks"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "LockID"
  deletion_protection_enabled = true

  attribute {
    name = "LockID"
    type = "S"
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = module.key.arn
  }

  point_in_time_recovery {
    enabled = true
  }
}
