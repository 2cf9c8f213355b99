import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import EnvironmentFailed, InvalidInput
from pipeline.manifest import load
from pipeline.manifest.source import LIMIT_BYTES, read, shown


def refusal(path: Path) -> str:
    with pytest.raises(InvalidInput) as refused:
        load(path)
    (problem,) = refused.value.problems
    assert problem.remedy
    return str(problem)


def test_a_missing_file(tmp_path):
    assert "is missing" in refusal(tmp_path / "none.yaml")


def test_a_folder(tmp_path):
    assert "is a folder" in refusal(tmp_path)


def test_a_path_below_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    assert "below something that is no folder" in refusal(tmp_path / "file" / "m.yaml")


def test_a_link_that_leads_to_itself(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    assert "leads to itself" in refusal(tmp_path / "loop")


def test_a_name_too_long(tmp_path):
    assert "too long" in refusal(tmp_path / ("m" * 300))


def test_a_name_with_nul():
    assert "NUL" in refusal(Path("a\0b"))


def test_a_named_pipe_is_refused_without_waiting_for_a_writer(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "pipe, socket or device" in refusal(tmp_path / "pipe")


def test_a_socket(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        assert "socket" in refusal(Path("s"))


def test_a_device():
    assert "device" in refusal(Path("/dev/zero"))


def test_a_file_that_this_user_may_not_read(tmp_path, monkeypatch):
    # Tests often run as root, who may read everything: the refusal has to come from here.
    def denied(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    assert "not readable" in refusal(tmp_path / "m.yaml")


def test_a_disk_that_fails_is_no_fault_of_the_manifest(tmp_path, monkeypatch):
    def broken(*_args, **_kwargs):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "open", broken)
    with pytest.raises(EnvironmentFailed, match="cannot be opened"):
        load(tmp_path / "m.yaml")


def test_a_read_that_fails_is_no_fault_of_the_manifest():
    if not Path("/proc/self/mem").exists():
        pytest.skip("needs a file whose reading fails")
    with pytest.raises(EnvironmentFailed, match="cannot be read"):
        read(Path("/proc/self/mem"))


def test_the_size_limit_is_exact(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_bytes(b"#" * LIMIT_BYTES)
    assert "is empty" in refusal(path)
    path.write_bytes(b"#" * (LIMIT_BYTES + 1))
    assert "is too large" in refusal(path)


def test_an_endless_file_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "m.yaml"
    with path.open("wb") as stream:
        stream.truncate(2**40)
    assert "is too large" in refusal(path)


def test_a_link_to_a_manifest_is_followed(tmp_path):
    (tmp_path / "real").write_bytes(b"a: 1")
    (tmp_path / "m.yaml").symlink_to("real")
    assert read(tmp_path / "m.yaml") == b"a: 1"


def test_names_are_shown_as_printable_text():
    assert shown(Path(os.fsdecode(b"m\xff\x1b[2J.yaml"))) == r"m\udcff\x1b[2J.yaml"


def test_loading_costs_no_heavy_import():
    code = "import sys, pipeline.manifest; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"jsonschema", "mlflow", "torch", "numpy", "sqlalchemy"} & set(modules)
