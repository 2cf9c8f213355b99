terraform {
  required_version = ">= 1.11.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "6.62.0"
    }
  }

  # Bucket, table, key and region come from bootstrap's output: `init -backend-config=backend.hcl`.
  backend "s3" {}
}
