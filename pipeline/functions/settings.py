"""What the constructor was given, in a form that every object can carry on."""

from __future__ import annotations

from dataclasses import dataclass

import dagger

from pipeline.errors import InvalidInput, Problem
from pipeline.functions.arguments import Environment, PoliciesMode


@dataclass
class Settings:
    """The constructor's arguments, which `Mlifecycle` documents."""

    source: dagger.Directory
    environment: Environment
    policies: dagger.Directory | None
    policies_mode: PoliciesMode
    registry: str | None
    registry_username: str | None
    registry_password: dagger.Secret | None
    images: dagger.File | None
    package_index: str | None
    torch_index: str | None
    trivy_db: dagger.File | None
    trivy_db_repository: str | None
    grype_db: dagger.File | None
    ca_certificates: dagger.File | None
    catalog: dagger.Secret | None

    def destination(self, address: str | None) -> str:
        """Where to publish. Raises InvalidInput when nobody said."""
        found = address or self.registry
        if not found:
            expected = "a repository, such as ghcr.io/acme/models"
            raise InvalidInput([Problem("--registry", "", "", expected, "Name one.")])
        return found
