"""What the constructor was given, in a form that every object can carry on."""

from __future__ import annotations

from dataclasses import dataclass

import dagger

from pipeline import image_reference
from pipeline.errors import InvalidInput, Problem
from pipeline.functions.arguments import Environment, PoliciesMode
from pipeline.places.containers.addresses import check_address


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
    netrc: dagger.Secret | None
    trivy_db: dagger.File | None
    trivy_db_repository: str | None
    grype_db: dagger.File | None
    ca_certificates: dagger.File | None
    catalog: dagger.Secret | None

    def destination(self, address: str | None) -> str:
        """Where to publish. Raises InvalidInput when nobody said."""
        found = address or self.registry
        expected = "a repository, such as ghcr.io/acme/models, without scheme, password and tag"
        if not found:
            raise InvalidInput([Problem("--registry", "", "", expected, "Name one.")])
        if not image_reference.is_repository(found):
            shown = found.rpartition("@")[2]  # what stands before it may be a password
            raise InvalidInput([Problem("--registry", "", shown, expected, "Correct it.")])
        return found

    def check(self) -> None:
        """Refuse what could only fail after everything was built. Raises InvalidInput."""
        if self.registry is not None:
            self.destination(None)
        for flag, address in (
            ("--package-index", self.package_index),
            ("--torch-index", self.torch_index),
        ):
            check_address(flag, address)
        if (self.registry_username is None) != (self.registry_password is None):
            expected = "a user and a password together, or neither"
            raise InvalidInput(
                [Problem("--registry-username", "", "", expected, "Add --registry-password.")]
                if self.registry_password is None
                else [Problem("--registry-password", "", "", expected, "Add --registry-username.")]
            )
