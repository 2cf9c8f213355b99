from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import packaging
import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from wheels import make_wheel

import pipeline
from pipeline import inventory
from pipeline.errors import EnvironmentFailed
from pipeline.examination import Examination, examine

# All of our own that the program may need.
LIGHT = ("__init__.py", "digest.py", "errors.py", "examination.py", "inventory.py")


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """alpha needs beta; a file of alpha was changed since it was installed."""
    site = tmp_path / "environment" / "lib" / "python3.11" / "site-packages"
    requires = ["beta>=1", "gamma; extra == 'fast'"]
    for name, version, wants in (("alpha", "1.0", requires), ("beta", "1.5", [])):
        with ZipFile(make_wheel(tmp_path, name, version, wants)) as wheel:
            wheel.extractall(site)
    (site / "alpha" / "__init__.py").write_text("VERSION = 'evil'")
    return tmp_path / "environment"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder with nothing but `packaging` and the pipeline's light modules."""
    folder = tmp_path / "bare"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(packaging.__file__).parent, folder / "packaging", ignore=ignored)
    (folder / "pipeline").mkdir()
    for name in LIGHT:
        shutil.copy(Path(pipeline.__file__).parent / name, folder / "pipeline")
    return folder


def run(bare: Path, *arguments: Path) -> subprocess.CompletedProcess[str]:
    """The program, where neither site-packages nor the current folder can be imported from."""
    return subprocess.run(
        [sys.executable, "-S", "-P", "-m", "pipeline.examination", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(bare), "PYTHONDONTWRITEBYTECODE": "1"},
    )


def test_everything_about_an_environment_is_seen(environment: Path) -> None:
    found = examine(environment)
    assert found.inventory == inventory.of(environment)
    assert found.requires == {
        "alpha": (Requirement("beta>=1"), Requirement("gamma; extra == 'fast'")),
        "beta": (),
    }
    assert found.changes == ("alpha/__init__.py was changed",)
    assert found.markers == default_environment()


def test_what_is_written_reads_the_same(environment: Path) -> None:
    found = examine(environment)
    assert Examination.from_bytes(found.to_bytes()) == found
    assert Examination.from_bytes(found.to_bytes()).to_bytes() == found.to_bytes()


def test_the_program_needs_only_packaging_and_our_light_modules(
    environment: Path, bare: Path, tmp_path: Path
) -> None:
    done = run(bare, environment, tmp_path / "found.json")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert Examination.from_bytes((tmp_path / "found.json").read_bytes()) == examine(environment)


def test_a_folder_that_is_no_environment_is_no_empty_one(bare: Path, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="no virtual environment"):
        examine(tmp_path / "absent")
    done = run(bare, tmp_path / "absent", tmp_path / "found.json")
    assert done.returncode == 3
    assert done.stderr.startswith(f"{tmp_path / 'absent'} is no virtual environment")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "found.json").exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d.clear(),
        lambda d: d.update(format=2),
        lambda d: d.update(more=1),
        lambda d: d.pop("changes"),
        lambda d: d.update(changes="none"),
        lambda d: d.update(changes=[1]),
        lambda d: d.update(inventory=[]),
        lambda d: d["inventory"].update(format=2),
        lambda d: d["inventory"]["distributions"][0].update(version=1),
        lambda d: d.update(requires=[]),
        lambda d: d["requires"].update(alpha=["no requirement!"]),
        lambda d: d["requires"].update(alpha="beta"),
        lambda d: d.update(markers=[]),
        lambda d: d["markers"].pop("python_version"),
        lambda d: d["markers"].update(python_version=3.11),
    ],
)
def test_what_is_no_examination_is_refused(
    environment: Path, spoil: Callable[[dict[str, Any]], object]
) -> None:
    document = json.loads(examine(environment).to_bytes())
    spoil(document)
    with pytest.raises(ValueError):  # noqa: PT011 - each part has its own words
        Examination.from_bytes(json.dumps(document).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{}", b"\xff"])
def test_bytes_that_are_no_examination_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - JSON's own errors are among them
        Examination.from_bytes(data)
