output "backend" {
  description = "The text of backend.hcl for `terraform init -backend-config=backend.hcl`; add a key for each environment."
  value       = <<-EOT
    region         = "${var.region}"
    bucket         = "${module.state.name}"
    dynamodb_table = "${aws_dynamodb_table.locks.name}"
    encrypt        = true
    kms_key_id     = "${module.key.arn}"
  EOT
}
