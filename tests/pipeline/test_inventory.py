from __future__ import annotations

import shutil
from pathlib import Path
from zipfile import ZipFile

import pytest
from wheels import make_wheel

from pipeline import inventory
from pipeline.inventory import Inventory


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An environment with alpha and beta, as an installer would leave it."""
    site = tmp_path / "environment" / "lib" / "python3.11" / "site-packages"
    for name, version in (("alpha", "1.0"), ("beta", "1.5")):
        with ZipFile(make_wheel(tmp_path, name, version)) as wheel:
            wheel.extractall(site)
    (site / "_virtualenv.pth").write_text("import _virtualenv")
    (site / "alpha" / "__pycache__").mkdir()
    (site / "alpha" / "__pycache__" / "__init__.cpython-311.pyc").write_bytes(b"")
    return tmp_path / "environment"


def site(environment: Path) -> Path:
    return environment / "lib" / "python3.11" / "site-packages"


def test_names_versions_and_records(environment: Path) -> None:
    found = inventory.of(environment)
    assert found.versions == {"alpha": "1.0", "beta": "1.5"}
    assert Inventory.from_bytes(found.to_bytes()) == found


def test_an_untouched_environment_has_no_changes(environment: Path) -> None:
    assert inventory.changes(environment) == []


def test_every_change_is_named(environment: Path) -> None:
    packages = site(environment)
    (packages / "alpha" / "__init__.py").write_text("VERSION = 'evil'")
    (packages / "beta" / "__init__.py").unlink()
    (packages / "start.pth").write_text("import os")
    (packages / "alpha" / "__pycache__" / "more.cpython-311.pyc").write_bytes(b"")
    (packages / "linked.py").symlink_to("/etc/passwd")
    assert sorted(inventory.changes(environment)) == [
        "alpha/__init__.py was changed",
        "alpha/__pycache__/more.cpython-311.pyc belongs to no distribution",
        "beta/__init__.py is missing",
        "linked.py belongs to no distribution",
        "start.pth belongs to no distribution",
    ]


def test_a_changed_record_changes_the_inventory(environment: Path) -> None:
    before = inventory.of(environment)
    record = site(environment) / "alpha-1.0.dist-info" / "RECORD"
    record.write_text(record.read_text().replace("sha256=", "sha256=A"))
    assert inventory.of(environment).digest != before.digest


def test_a_distribution_without_metadata_is_still_one(environment: Path) -> None:
    info = site(environment) / "alpha-1.0.dist-info"
    shutil.rmtree(info)
    info.mkdir()
    assert inventory.of(environment).versions["alpha"] == "1.0"


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"distributions": [1]}', b'{"distributions": [{"name": "a"}]}']
)
def test_what_is_no_inventory_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - JSON's own errors are among them
        Inventory.from_bytes(data)
