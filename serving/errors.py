"""Why a server cannot start on its release. Each says so in one line, without a traceback."""

from __future__ import annotations


class ServingError(Exception):
    """The base of every reason."""


class InvalidSettings(ServingError):
    """The release's settings.json is missing, damaged or of another format."""


class TamperedModel(ServingError):
    """The model file is not the one that the release names."""


class UnsafeArchive(ServingError):
    """The model file is damaged or may do more than compute. Nothing of it has been loaded."""


class UnfitModel(ServingError):
    """The model loads but does not answer as the release's signature promises."""


class UnfitTransform(ServingError):
    """The model's own code around it cannot be imported, or has not the functions it must have."""


class InvalidConfiguration(ServingError):
    """A variable of the server's environment is unknown, damaged or contradicts another."""


class InvalidKeys(ServingError):
    """A file of API keys, or of the public keys of tokens, is damaged."""
