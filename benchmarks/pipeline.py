"""How long the pipeline's main job takes, cold, warm and after a change, in one run.

    make bench

Read the figures as ratios to the cold deploy of the same run: the machine and the state of uv's
cache decide the rest. It works on a copy of the example in a temporary folder and stops what it
starts.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PROGRAM = Path(sys.executable).with_name("mlifecycle")
sys.path.insert(0, str(REPOSITORY / "tests" / "system"))


def main() -> None:
    """Print a Markdown table."""
    from models import alter

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(REPOSITORY / "examples" / "valid", folder / "submission")
        manifest = folder / "submission" / "model-manifest.yaml"
        # Without a claimed digest, a changed model needs no changed manifest.
        manifest.write_text(re.sub(r"\n +digest: sha256:\w+", "", manifest.read_text(), count=1))
        common = ["--state", str(folder / "state")]

        def timed(*arguments: str) -> float:
            began = time.monotonic()
            subprocess.run(
                [PROGRAM, *arguments, *common], cwd=folder, check=True, capture_output=True
            )
            return time.monotonic() - began

        rows = [("deploy, empty state folder", timed("deploy", "--manifest", str(manifest)))]
        try:
            rows.append(("deploy, nothing changed", timed("deploy", "--manifest", str(manifest))))
            alter(manifest.parent / "fraud-detector" / "model.pt2")
            rows.append(("deploy, another model", timed("deploy", "--manifest", str(manifest))))
            rows.append(("rollback", timed("rollback", "fraud-detector")))
            rows.append(("govern", timed("govern", "--manifest", str(manifest))))
            rows.append(("status", timed("status")))
        finally:
            timed("stop", "fraud-detector")
    cold = rows[0][1]
    print("| command | seconds | share of the cold deploy |\n|---|---|---|")
    for label, seconds in rows:
        print(f"| {label} | {seconds:.2f} | {seconds / cold:.1%} |")


if __name__ == "__main__":
    main()
