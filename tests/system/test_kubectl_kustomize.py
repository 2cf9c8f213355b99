"""What kubectl's own kustomize makes of the same folders: the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "pipeline" / "tools"))

import image_inputs as given

from pipeline import image_reference, resources
from pipeline import manifest as manifests
from pipeline.environment import Environment
from pipeline.kubernetes import kustomization
from pipeline.kubernetes.platforms import Platform

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlifecycle-tests"
KUBECTL = CACHE / "cluster" / "bin" / "kubectl"
KUSTOMIZE = given.PROGRAMS / "kustomize"
VALID = Path(__file__).parents[2] / "examples" / "valid"
IMAGE = f"registry.internal:5000/models/it:1.2.0@sha256:{'0123456789abcdef' * 4}"
each = pytest.mark.parametrize("environment", list(Environment))


@pytest.fixture(scope="module", autouse=True)
def programs() -> None:
    for program, script in (
        (KUBECTL, "tests/system/cluster/build.sh"),
        (KUSTOMIZE, "tests/system/tools/install.sh kustomize"),
    ):
        if not program.is_file():
            pytest.fail(f"There is no {program}. Run {script}.", pytrace=False)


def built(*command: str | Path) -> bytes:
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@each
@pytest.mark.parametrize("platform", [None, *Platform])
@pytest.mark.parametrize("name", ["model-manifest.yaml", "breast-cancer-manifest.yaml"])
def test_a_model_s_objects_are_the_same(
    tmp_path: Path, environment: Environment, platform: Platform | None, name: str
) -> None:
    image = image_reference.parse(IMAGE)
    assert image is not None
    files = kustomization.files(manifests.load(VALID / name), image, environment, platform)
    own = tmp_path / kustomization.OWN
    for path, data in files.items():
        (own / path).parent.mkdir(parents=True, exist_ok=True)
        (own / path).write_bytes(data)
    (tmp_path / kustomization.SHARED).symlink_to(resources.folder("kustomize"))
    objects = built(KUBECTL, "kustomize", own)
    assert objects.count(b"\nkind: ") >= 6
    assert objects == built(KUSTOMIZE, "build", own)


@each
def test_an_overlay_by_itself_is_the_same(environment: Environment) -> None:
    overlay = resources.folder("kustomize") / "overlays" / environment
    assert built(KUBECTL, "kustomize", overlay) == built(KUSTOMIZE, "build", overlay)
