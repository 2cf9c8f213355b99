"""Kubernetes objects: how a model's are written, and how a YAML of them is read."""
