# A set of values that every validation takes: copy it, and say yours.
region          = "eu-central-1"
account_id      = "123456789012"
environment     = "prod"
zones           = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
operator_cidrs  = ["10.8.0.0/20"]
models          = ["payments-risk/fraud-detector"]
catalog_host    = "mlflow.ml.example.com"
zone_id         = "Z0123456789ABCDEFGHIJ"
certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/5a7c9b10-0000-4000-8000-000000000000"
mlflow_image    = "ghcr.io/example/mlflow-server@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
