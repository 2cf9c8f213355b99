"""Whether what was declared, locked and installed, and what the bill of materials says, agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from pipeline.inventory import Inventory
from pipeline.lockfile import Lock, applies, satisfies
from pipeline.tools.syft import Package


@dataclass(frozen=True, slots=True)
class Row:
    """One package on this platform, as each of the four accounts has it; None where absent.

    `problem` says how they differ; it is empty where they agree.
    """

    package: str
    declared: str | None
    locked: str | None
    installed: str | None
    sbom: str | None
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """As the policy's input document has it."""
        return asdict(self)


def compare(
    requirements: Iterable[str],
    lock: Lock,
    installed: Inventory,
    bill: Sequence[Package],
    requires: Mapping[str, Sequence[Requirement]],
    markers: Mapping[str, str] | None = None,
) -> list[Row]:
    """A row for each package that any of the four accounts names, by canonical name.

    Markers are evaluated for the Python whose marker environment is `markers`, or for this one.
    Packages inside packages are in the bill only: nothing locks them but the package around them.
    `requires` is what the installed packages say that they require: a locked package that nothing
    declared leads to is a difference, too.
    """
    declared: dict[str, list[Requirement]] = defaultdict(list)
    for text in requirements:
        requirement = Requirement(text)
        if applies(requirement, markers):
            declared[canonicalize_name(requirement.name)].append(requirement)
    present: dict[str, list[str]] = defaultdict(list)
    for distribution in installed.distributions:
        present[distribution.name].append(distribution.version)
    listed: dict[str, list[str]] = defaultdict(list)
    for package in bill:
        if not package.vendored:
            listed[package.name].append(package.version)
    locked = {name: entry.version for name, entry in lock.active_for(markers).items()}
    roots = [one for several in declared.values() for one in several]
    wanted = reachable(roots, requires, markers)
    rows = []
    for name in sorted({*declared, *locked, *present, *listed}):
        asked, entry = declared.get(name, []), locked.get(name)
        problems = list(_problems(asked, entry, present.get(name, []), listed.get(name, [])))
        if entry is not None and name not in wanted:
            problems.append("locked though nothing declared requires it")
        rows.append(
            Row(
                package=name,
                declared=", ".join(str(requirement) for requirement in declared[name]) or None,
                locked=locked.get(name),
                installed=", ".join(present[name]) or None,
                sbom=", ".join(listed[name]) or None,
                problem="; ".join(problems),
            )
        )
    return rows


def reachable(
    roots: Iterable[Requirement],
    requires: Mapping[str, Sequence[Requirement]],
    markers: Mapping[str, str] | None = None,
) -> set[str]:
    """The canonical names that `roots` lead to through `requires`, with their extras.

    `markers` as in `compare`.
    """
    found: set[tuple[str, str]] = set()
    ahead = [(canonicalize_name(r.name), extra) for r in roots for extra in ("", *r.extras)]
    while ahead:
        step = ahead.pop()
        if step in found:
            continue
        found.add(step)
        name, extra = step
        for requirement in requires.get(name, ()):
            if applies(requirement, markers, extra):
                target = canonicalize_name(requirement.name)
                ahead += [(target, ""), *((target, each) for each in requirement.extras)]
    return {name for name, _ in found}


def _problems(
    declared: list[Requirement], locked: str | None, installed: list[str], listed: list[str]
) -> Iterator[str]:
    if declared and locked is None:
        yield "declared but not locked"
    for requirement in declared:
        if locked is not None and not satisfies(locked, requirement):
            yield f"locked outside of {requirement}"
    if len(installed) > 1:
        yield "installed more than once"
    if locked is None and installed:
        yield "installed but not locked"
    if locked is not None and not installed:
        yield "locked but not installed"
    if locked is not None and any(not same(version, locked) for version in installed):
        yield "installed in another version than locked"
    if len(listed) != len(installed):
        yield (
            "installed but not in the bill"
            if not listed
            else (
                "in the bill but not installed"
                if not installed
                else "counted differently in the bill"
            )
        )
    elif any(not same(*pair) for pair in zip(sorted(listed), sorted(installed), strict=True)):
        yield "in the bill in another version than installed"


def same(one: str, other: str) -> bool:
    """Whether two spellings mean one version (`1.0` and `1.0.0`)."""
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return one == other
