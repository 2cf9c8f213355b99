"""The environments a model can be deployed to. Each has its own thresholds in `policies/data/`."""

from enum import StrEnum


class Environment(StrEnum):
    """Whose demands apply, and where a release goes."""

    LOCAL = "local"
    DEV = "dev"
    STAGING = "staging"
    PROD = "prod"
