"""Images with planted defects, as archives: what image scanners' reports are recorded from.

Put together from bytes, without a container engine: a Debian in name, its packages and Python's by
their metadata only.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from planted_defects import AWS_KEY

SITE = "usr/local/lib/python3.11/site-packages"
PLANTED = "planted-in-the-environment"
SETUID = 0o4755
CREATED = "2026-11-02T00:00:00Z"

DEBIAN = {
    "etc/os-release": 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12"\n',
    "etc/debian_version": "12.12\n",
    "etc/group": "root:x:0:\n",
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\n",
    "etc/shadow": "root:*:20000:0:99999:7:::\n",
    "var/lib/dpkg/status": "Package: bash\nStatus: install ok installed\n"
    "Maintainer: Matthias Klose <doko@debian.org>\nArchitecture: amd64\n"
    "Version: 5.2.15-2+b2\nDescription: GNU Bourne Again SHell\n\n",
    "usr/share/doc/bash/copyright": "Format: https://www.debian.org/doc/packaging-manuals/"
    "copyright-format/1.0/\n\nFiles: *\nLicense: GPL-3+\n",
}


def distribution(name: str, version: str, licence: str) -> dict[str, str]:
    """A Python package's metadata, where an installer leaves it."""
    return {
        f"{SITE}/{name}-{version}.dist-info/METADATA": "Metadata-Version: 2.4\n"
        f"Name: {name}\nVersion: {version}\nLicense-Expression: {licence}\n"
    }


BAD = {
    **DEBIAN,
    **distribution("Jinja2", "2.4.1", "BSD-3-Clause"),
    **distribution("pillow", "9.5.0", "MIT-CMU"),
    **distribution("graver", "1.0", "AGPL-3.0-only"),
    **distribution("driver", "2.0", "LicenseRef-Proprietary"),
    "etc/shadow": "root::20000:0:99999:7:::\n",
    "app/settings.py": f'AWS_ACCESS_KEY_ID = "{AWS_KEY}"\n',
    "app/Dockerfile": "FROM python:latest\nRUN apt-get install -y curl\nADD . /app\n",
    "app/id_rsa": "planted\n",
}
GOOD = {
    **DEBIAN,
    **distribution("Jinja2", "3.1.6", "BSD-3-Clause"),
    "app/settings.py": "import os\n",
}


def bad(path: Path) -> Path:
    """Vulnerable packages, a key, an empty password, a setuid program, root, no health check."""
    return archive(
        path,
        BAD,
        config={"Cmd": ["python"], "Env": [f"API_PASSWORD={PLANTED}", f"API_TOKEN={PLANTED}"]},
        history=[
            "ADD . / # buildkit",
            f"ENV API_PASSWORD=first API_TOKEN={PLANTED}",
            "ADD . /app # buildkit",
            "RUN /bin/sh -c apt-get update # buildkit",
        ],
        modes={"usr/bin/helper": SETUID},
    )


def good(path: Path) -> Path:
    return archive(
        path,
        GOOD,
        config={
            "Cmd": ["python"],
            "User": "10001",
            "Healthcheck": {"Test": ["CMD", "python", "-m", "serving.check"]},
        },
        history=["COPY . /app # buildkit", "HEALTHCHECK CMD python -m serving.check"],
    )


def bare(path: Path) -> Path:
    """An image with no package in it."""
    return archive(path, {"notes.txt": "nothing\n"}, config={"User": "10001"}, history=["COPY ."])


def inconsistent(path: Path) -> Path:
    """A health check in the history that the configuration lacks: trivy 0.67.2 crashes on it."""
    return archive(path, GOOD, config={"User": "10001"}, history=["COPY .", "HEALTHCHECK CMD x"])


def archive(
    path: Path,
    files: Mapping[str, str],
    *,
    config: Mapping[str, Any],
    history: list[str],
    modes: Mapping[str, int] | None = None,
) -> Path:
    """Write a one-layer image in the form of `docker save`. `modes` adds programs."""
    content = {name: (text.encode(), 0o644) for name, text in files.items()}
    content |= {name: (b"\x7fELF", mode) for name, mode in (modes or {}).items()}
    layer = _tar(content)
    image = {
        "architecture": "amd64",
        "os": "linux",
        "created": CREATED,
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "history": [
            {"created": CREATED, "created_by": words, "empty_layer": number > 0}
            for number, words in enumerate(history)
        ],
    }
    described = json.dumps(image).encode()
    name = f"{hashlib.sha256(described).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": None, "Layers": ["layer.tar"]}]
    members = {name: described, "layer.tar": layer, "manifest.json": json.dumps(manifest).encode()}
    path.write_bytes(_tar({member: (data, 0o644) for member, data in members.items()}))
    return path


def _tar(content: Mapping[str, tuple[bytes, int]]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as made:
        for name, (data, mode) in sorted(content.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            made.addfile(entry, io.BytesIO(data))
    return stream.getvalue()
