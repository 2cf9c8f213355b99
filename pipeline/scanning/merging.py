"""Several scanners, one list: findings of the same defect become one, with several witnesses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from packaging.utils import canonicalize_name

from pipeline.findings import Finding, Severity

Key = tuple[str, ...]


def merge(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """One finding a defect, worst first, in an order that depends on the content only.

    The same defect is: the same vulnerability (by any of its names) of the same package, or the
    same weakness class on the same line of the same file.
    """
    groups: list[list[Finding]] = []
    holder: dict[Key, list[Finding]] = {}
    for finding in findings:
        group = [finding]
        for key in _keys(finding):
            other = holder.get(key)
            if other is not None and other is not group:
                group, emptied = other, group
                group.extend(emptied)
                groups = [kept for kept in groups if kept is not emptied]
                holder = {k: group if g is emptied else g for k, g in holder.items()}
            holder[key] = group
        if not any(group is kept for kept in groups):
            groups.append(group)
    return tuple(sorted((_united(group) for group in groups), key=_order))


def _keys(finding: Finding) -> list[Key]:
    names = (finding.rule, *finding.aliases)
    if finding.package is not None:
        package = canonicalize_name(finding.package)
        return [("package", package, finding.installed_version or "", name) for name in names]
    if finding.location is not None:
        place = (finding.location.file, str(finding.location.line))
        kinds = [name for name in finding.aliases if name.startswith("CWE-")]
        return [("place", *place, name) for name in (finding.rule, *kinds)]
    return [("rule", finding.rule, finding.message)]


def _united(group: Sequence[Finding]) -> Finding:
    """The worst witness's words, with what the others know besides.

    A severity that some tool states counts for more than another's lack of one.
    """
    stated = [finding for finding in group if finding.severity is not Severity.UNKNOWN]
    first = sorted(stated or group, key=_order)[0]
    others = [first, *sorted(group, key=_order)]
    names = {name for finding in group for name in (finding.rule, *finding.aliases)}
    return first.model_copy(
        update={
            "tools": tuple(sorted({tool for finding in group for tool in finding.tools})),
            "aliases": tuple(sorted(names - {first.rule})),
            "fixed_version": next((f.fixed_version for f in others if f.fixed_version), None),
            "url": next((f.url for f in others if f.url), None),
        }
    )


def _order(finding: Finding) -> tuple[int, str, int, str, str, str]:
    place = finding.location
    return (
        -finding.severity.rank,
        place.file if place else "",
        (place.line or 0) if place else 0,
        finding.package or "",
        finding.rule,
        finding.tools[0],
    )
