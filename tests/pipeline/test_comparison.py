from __future__ import annotations

from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

from pipeline import lockfile
from pipeline.comparison import compare
from pipeline.inventory import Distribution, Inventory
from pipeline.lockfile import Inputs
from pipeline.tools.syft import Package

HASH = "--hash=sha256:" + "a" * 64
AGREED = {"alpha": "1.0", "beta": "1.5"}
REQUIRED = {"alpha": ("Beta>=1",)}


def problems(
    declared: tuple[str, ...] = ("Alpha>=1",),
    locked: dict[str, str] = AGREED,
    installed: tuple[tuple[str, str], ...] = tuple(AGREED.items()),
    listed: tuple[tuple[str, str], ...] = tuple(AGREED.items()),
    vendored: tuple[tuple[str, str], ...] = (),
    requires: dict[str, tuple[str, ...]] = REQUIRED,
    markers: dict[str, str] | None = None,
) -> dict[str, str]:
    lock = lockfile.parse(
        (Inputs(()).header() + "".join(f"{n}=={v} {HASH}\n" for n, v in locked.items())).encode()
    )
    assert not lock.defects
    rows = compare(
        declared,
        lock,
        Inventory(tuple(Distribution(name, version, "") for name, version in installed)),
        [Package(n, v, False) for n, v in listed] + [Package(n, v, True) for n, v in vendored],
        {name: [Requirement(text) for text in texts] for name, texts in requires.items()},
        markers,
    )
    return {row.package: row.problem for row in rows if row.problem}


def test_agreement_has_no_problems() -> None:
    assert problems() == {}


def test_markers_and_vendored_packages_are_no_problem() -> None:
    assert problems(
        declared=("alpha", "winonly>=1; sys_platform == 'never'"),
        locked={**AGREED, "winonly": "1.0 ; sys_platform == 'never'"},
        vendored=(("inner", "0.5"), ("beta", "0.1")),
    ) == {}  # fmt: skip


def test_spellings_of_one_version_agree() -> None:
    assert problems(installed=(("alpha", "1.0.0"), ("beta", "1.5"))) == {}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"declared": ("alpha", "delta")}, {"delta": "declared but not locked"}),
        ({"declared": ("alpha>=2",)}, {"alpha": "locked outside of alpha>=2"}),
        ({"locked": {"alpha": "1.0"}}, {"beta": "installed but not locked"}),
        (
            {"installed": (("alpha", "1.0"),)},
            {"beta": "locked but not installed; in the bill but not installed"},
        ),
        (
            {"installed": (*AGREED.items(), ("extra", "1"))},
            {"extra": "installed but not locked; installed but not in the bill"},
        ),
        (
            {"installed": (("alpha", "1.1"), ("beta", "1.5"))},
            {
                "alpha": "installed in another version than locked; "
                "in the bill in another version than installed"
            },
        ),
        (
            {"installed": (*AGREED.items(), ("beta", "1.6"))},
            {
                "beta": "installed more than once; installed in another version than locked; "
                "counted differently in the bill"
            },
        ),
        ({"listed": (("alpha", "1.0"),)}, {"beta": "installed but not in the bill"}),
        (
            {"listed": (*AGREED.items(), ("ghost", "1"))},
            {"ghost": "in the bill but not installed"},
        ),
        (
            {"listed": (("alpha", "1.0"), ("beta", "9"))},
            {"beta": "in the bill in another version than installed"},
        ),
    ],
)
def test_each_difference_is_named(change: dict[str, object], says: dict[str, str]) -> None:
    assert problems(**change) == says  # type: ignore[arg-type]


def test_a_locked_package_that_nothing_leads_to_is_a_problem() -> None:
    orphan = "locked though nothing declared requires it"
    assert problems(requires={}) == {"beta": orphan}
    assert problems(requires={"alpha": ("beta; sys_platform == 'never'",)}) == {"beta": orphan}


def test_extras_lead_to_what_they_require() -> None:
    extra = {"alpha": ("beta; extra == 'fast'",)}
    assert problems(requires=extra, declared=("alpha[fast]",)) == {}
    assert "beta" in problems(requires=extra, declared=("alpha[slow]",))


def test_markers_hold_for_the_python_that_the_packages_are_for() -> None:
    there = {**default_environment(), "sys_platform": "never"}
    change: dict[str, Any] = {
        "declared": ("alpha", "other; sys_platform != 'never'"),
        "locked": {
            "alpha": "1.0",
            "beta": "1.5 ; sys_platform == 'never'",
            "other": "1.0 ; sys_platform != 'never'",
        },
        "requires": {"alpha": ("beta; sys_platform == 'never'",)},
    }
    assert problems(**change, markers=there) == {}
    assert problems(**change) == {
        "beta": "installed but not locked",
        "other": "locked but not installed",
    }
