from __future__ import annotations

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

from pipeline import lockfile
from pipeline.lockfile import Inputs

HASH = "--hash=sha256:" + "a" * 64
INPUTS = Inputs(("numpy>=2", "torch>=2.6"))


def lock(*lines: str, header: str | None = None) -> lockfile.Lock:
    text = INPUTS.header() if header is None else header
    return lockfile.parse((text + "\n".join(lines)).encode())


def test_reads_entries_hashes_and_markers() -> None:
    read = lock(
        f"numpy==2.1 ; python_version < '3.0' \\\n    {HASH} \\\n    {HASH}",
        "    # via -r requirements.in",
        f"Foo.Bar==1.0 ; python_version >= '3.0' {HASH}",
    )
    assert read.defects == ()
    assert read.inputs == INPUTS
    first, second = read.entries
    assert (first.name, first.version, first.active) == ("numpy", "2.1", False)
    assert len(first.hashes) == 2
    assert (second.name, second.version, second.active) == ("foo-bar", "1.0", True)
    assert read.active == {"foo-bar": second}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("numpy==2.1", "numpy has no hash"),
        (f"numpy>=2.1 {HASH}", "not pinned"),
        (f"numpy==2.* {HASH}", "not pinned"),
        (f"numpy==2.1,==2.1 {HASH}", "not pinned"),
        (f"numpy {HASH}", "not pinned"),
        ("numpy==2.1 --hash=md5:0", "not a hash"),
        ("numpy==2.1 --hash=sha256:abc", "not a hash"),
        (f"numpy==2.1 {HASH} --config-settings=x", "not a hash"),
        (f"numpy @ https://example.invalid/numpy.whl {HASH}", "direct reference"),
        (f"./numpy.whl {HASH}", "not a pinned requirement"),
        ("--index-url https://example.invalid", "--index-url is not allowed"),
        ("-r other.txt", "-r is not allowed"),
        ("-e .", "-e is not allowed"),
        (f"numpy==2.1 {HASH}\nNumPy==2.2 {HASH}", "twice"),
    ],
)
def test_whatever_is_not_pinned_and_hashed_is_a_defect(line: str, says: str) -> None:
    (defect,) = lock(line).defects
    assert says in defect.message
    assert defect.line >= 5


def test_bytes_that_are_no_text_are_a_defect() -> None:
    (defect,) = lockfile.parse(b"\xff").defects
    assert "UTF-8" in defect.message


@pytest.mark.parametrize(
    "header",
    [
        "",
        INPUTS.header().replace("numpy>=2", "numpy>=1"),
        INPUTS.header().replace(">=3.11", ">=3.12"),
        INPUTS.header() + INPUTS.header(),
    ],
)
def test_a_header_that_is_missing_or_edited_is_a_defect(header: str) -> None:
    read = lock(f"numpy==2.1 {HASH}", header=header)
    assert read.inputs is None
    assert "header" in read.defects[0].message


def test_what_is_not_covered_is_named() -> None:
    read = lock(
        f"numpy==2.1 {HASH}",
        f"old==1.0 ; python_version < '3.0' {HASH}",
        f"new==2.0 ; python_version >= '3.0' {HASH}",
    )
    wanted = [
        "numpy>=2", "numpy>=3", "absent", "old>=1", "new>=2",
        "old>=1; python_version < '3.0'", "old>=2; python_version < '3.0'",
    ]  # fmt: skip
    assert lockfile.uncovered(wanted, read) == [
        "numpy>=3 is locked at 2.1",
        "absent is not locked",
        "old>=1 is not locked",
        "old>=2; python_version < '3.0' is locked at 1.0",
    ]


def test_differences_are_listed() -> None:
    wanted = Inputs(("numpy>=2", "scipy"), "3.12")
    assert lockfile.difference(wanted, INPUTS) == [
        "added: scipy",
        "removed: torch>=2.6",
        "python: >=3.11 became >=3.12",
    ]
    assert lockfile.difference(INPUTS, INPUTS) == []


def test_markers_of_another_python_choose_other_entries() -> None:
    read = lock(
        f"old==1.0 ; python_full_version < '3.11' {HASH}",
        f"old==2.0 ; python_full_version >= '3.11' {HASH}",
        f"winonly==1.0 ; sys_platform == 'win32' {HASH}",
    )
    there = {**default_environment(), "python_full_version": "3.9.1", "sys_platform": "win32"}
    active = read.active_for(there)
    assert {name: entry.version for name, entry in active.items()} == {
        "old": "1.0",
        "winonly": "1.0",
    }
    assert read.active_for(None) == read.active
    assert lockfile.applies(Requirement("old; sys_platform == 'win32'"), there)
    assert not lockfile.applies(Requirement("old; sys_platform == 'win32'"))
    assert lockfile.uncovered(["old>=2", "winonly"], read) == ["winonly is not locked"]
    assert lockfile.uncovered(["old>=2", "winonly"], read, there) == ["old>=2 is locked at 1.0"]
