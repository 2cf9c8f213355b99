"""A stand-in for serving.settings: `behaviour.json` says how this release behaves."""

import json
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Settings:
    release: str
    version: str
    mode: str = ""
    seconds: float = 0.0
    prediction: str = "legitimate"
    facts: dict = field(default_factory=dict)


def load(folder: Path, release_digest: str) -> Settings:
    return Settings(release_digest, **json.loads((folder / "behaviour.json").read_text()))
