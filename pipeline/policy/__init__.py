"""Decisions by policy: a bundle of Rego and data, an engine, a verdict."""

from pipeline.policy.decision import judge

__all__ = ["judge"]
