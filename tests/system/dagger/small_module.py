"""The small module: this repository's, with a server and a model that need next to nothing.

What is its own lies in `small/`. Its image is built and scanned in seconds, where torch takes
minutes.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from calls import EXAMPLES, REPOSITORY

OWN = Path(__file__).parent / "small"
MANIFEST = "model-manifest.yaml"
LOCK = "model-manifest.lock.txt"
GOOD = Path("examples/valid") / MANIFEST
# What the example's model needs, and what the small one does.
NEEDS = ('    - "torch>=2.9"\n    - "numpy>=2"\n', '    - "joblib>=1.4"\n')


def make(folder: Path) -> Path:
    """The module, and one submission in `examples/valid`, in a repository of its own."""
    for name in _sources():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, folder / name)
    for name in ("__main__.py", "measure.py", "requirements.in", "requirements-torch.in"):
        shutil.copy(OWN / name, folder / "serving" / name)
    submit(folder / GOOD.parent, name="small-detector")
    # The root of the source that a call takes where none is named.
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    return folder


def _sources() -> Iterator[str]:
    """What `dagger.json` lets into the module, and git knows or would take."""
    module = json.loads((REPOSITORY / "dagger.json").read_text())
    out = {pattern.removeprefix("!") for pattern in module["include"]}
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if name.partition("/")[0] not in out and (REPOSITORY / name).is_file():
            yield name


def submit(
    folder: Path, *changes: tuple[str, str], name: str = "fraud-detector", locked: bool = True
) -> Path:
    """The fraud detector's submission for the small server; its manifest.

    Each change is a text that the manifest holds once, and what stands in its place. A `name` of
    its own keeps it apart from what others put into the engine's catalog.
    """
    shutil.copytree(EXAMPLES / "valid" / "fraud-detector", folder / "fraud-detector")
    text = (EXAMPLES / "valid" / MANIFEST).read_text()
    named = ("\n  name: fraud-detector\n", f"\n  name: {name}\n")
    for old, new in (NEEDS, named, *changes):
        assert text.count(old) == 1, f"the manifest holds {old!r} {text.count(old)} times"
        text = text.replace(old, new)
    (folder / MANIFEST).write_text(text)
    if locked:
        shutil.copy(OWN / LOCK, folder)
    return folder / MANIFEST
