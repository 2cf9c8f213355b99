output "uri" {
  description = "The catalog's address, once the server can answer."
  value       = "https://${aws_route53_record.this.name}"

  depends_on = [aws_ecs_service.server]
}
