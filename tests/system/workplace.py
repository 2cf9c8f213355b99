"""The installed `mlifecycle` program on a copy of the examples, with real parts throughout."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).with_name("mlifecycle")


@dataclass(frozen=True)
class Workplace:
    """A user's folder: a submission copied from the examples, and a state folder."""

    root: Path

    @property
    def state(self) -> Path:
        return self.root / "state"

    def command(self, *arguments: str) -> list[str]:
        return [str(PROGRAM), *arguments, "--state", str(self.state)]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), cwd=self.root, capture_output=True, text=True, timeout=900
        )

    def json(self, *arguments: str, exit_code: int = 0) -> Any:
        done = self.run(*arguments, "--output", "json")
        assert done.returncode == exit_code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout)

    def submission(self, name: str, **changes: Any) -> Path:
        """A copy of the fraud detector's submission; `changes` go into `spec`, a level deep."""
        folder = self.root / name
        if not folder.exists():
            source = REPOSITORY / "examples" / "valid"
            folder.mkdir(parents=True)
            shutil.copytree(source / "fraud-detector", folder / "fraud-detector")
            shutil.copy(source / "model-manifest.lock.txt", folder)
        document = yaml.safe_load((REPOSITORY / "examples/valid/model-manifest.yaml").read_text())
        for section, change in changes.items():
            if isinstance(change, dict):
                document["spec"][section] |= change
            else:
                document["spec"][section] = change
        model = document["spec"]["model"]
        document["spec"]["model"] = {k: v for k, v in model.items() if v is not None}
        path = folder / "model-manifest.yaml"
        # default=str: YAML's dates are dates to this loader, and text in a manifest.
        path.write_text(json.dumps(document, default=str))
        return path

    def status(self) -> dict[str, Any]:
        (entry,) = self.json("status", "fraud-detector")
        return dict(entry)
