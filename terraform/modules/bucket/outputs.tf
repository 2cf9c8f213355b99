output "name" {
  description = "The bucket's name, once its policy stands."
  value       = aws_s3_bucket_policy.this.bucket
}

output "arn" {
  description = "The bucket's ARN."
  value       = aws_s3_bucket.this.arn
}
