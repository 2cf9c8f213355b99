from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.errors import InvalidInput
from pipeline.runtimes import host
from pipeline.scanning import submission


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "mine"
    (place / "src").mkdir(parents=True)
    (place / "src" / "train.py").write_text("x = 1\n")
    (place / ".env").write_text("KEY=1\n")
    return place


def test_text_files_are_copied_hidden_ones_too(folder: Path, tmp_path: Path) -> None:
    assert submission.copy(folder, tmp_path / "copy", []) == {}
    assert files(tmp_path / "copy") == {"src/train.py", ".env"}


def test_what_is_left_out_is_said_with_the_reason(folder: Path, tmp_path: Path) -> None:
    (folder / "model.pt2").write_bytes(b"PK")
    (folder / "photo.bin").write_bytes(b"a\0b")
    (folder / "data.csv").write_bytes(b"1," * submission.FILE_LIMIT)
    (folder / ".git").mkdir()
    (folder / "venv").mkdir()
    (folder / "venv" / "pyvenv.cfg").touch()
    (folder / "state").mkdir()
    (folder / "secrets").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    left_out = submission.copy(folder, tmp_path / "copy", [folder / "model.pt2", folder / "state"])
    assert left_out == {
        "model.pt2": "checked by other means",
        "state": "checked by other means",
        "photo.bin": "binary",
        "data.csv": "larger than 4 MiB",
        ".git": "not part of the submission",
        "venv": "not part of the submission",
        "secrets": "a link",
        "pipe": "no regular file",
    }
    assert files(tmp_path / "copy") == {"src/train.py", ".env"}


def test_a_nul_does_not_hide_a_source(folder: Path, tmp_path: Path) -> None:
    (folder / "evil.py").write_bytes(b"#\0\nimport os\n")
    submission.copy(folder, tmp_path / "copy", [])
    assert "evil.py" in files(tmp_path / "copy")


def test_a_source_too_large_to_read_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "huge.py").write_bytes(b"#" * (submission.FILE_LIMIT + 1))
    with pytest.raises(InvalidInput, match=r"huge\.py"):
        submission.copy(folder, tmp_path / "copy", [])


def test_a_folder_with_too_many_files_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "COUNT_LIMIT", 1)
    with pytest.raises(InvalidInput, match="a folder of their own"):
        submission.copy(folder, tmp_path / "copy", [])


def test_a_folder_with_too_much_text_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "TOTAL_LIMIT", 7)
    with pytest.raises(InvalidInput):
        submission.copy(folder, tmp_path / "copy", [])


def test_a_submission_is_small_enough_to_be_copied_for_a_tool() -> None:
    assert submission.TOTAL_LIMIT <= host.COPY_LIMIT
    assert submission.COUNT_LIMIT <= host.COPY_COUNT


def test_a_link_to_itself_is_left_out(folder: Path, tmp_path: Path) -> None:
    (folder / "loop").symlink_to("loop")
    assert submission.copy(folder, tmp_path / "copy", [])["loop"] == "a link"


def test_what_may_not_be_read_is_refused_by_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulated at the copy: the superuser may read everything."""

    def forbidden(source: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied", str(source))

    monkeypatch.setattr(submission.shutil, "copyfile", forbidden)
    with pytest.raises(InvalidInput, match="unreadable"):
        submission.copy(folder, tmp_path / "copy", [])
