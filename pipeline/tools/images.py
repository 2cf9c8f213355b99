"""The images that tools run in: pinned by digest, and replaced as a set where others are wanted.

bandit, detect-secrets, pip-audit and safety have no public image of their own. They run in an
environment that is made from `python`, `uv` and the hash lock `requirements/scanners.txt`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipeline import image_reference
from pipeline.errors import InvalidInput, Problem
from pipeline.manifest.document import Document, parse
from pipeline.manifest.paths import dotted, shown
from pipeline.tools import (
    bandit,
    cosign,
    detect_secrets,
    dockle,
    gitleaks,
    grype,
    hadolint,
    kubeconform,
    kustomize,
    opa,
    pip_audit,
    safety,
    semgrep,
    syft,
    trivy,
    uv,
)
from pipeline.tools.interface import ToolImage

# The base of the server's image as well: serving/Dockerfile names the same.
PYTHON = ToolImage(
    "python:3.11-slim@sha256:e41613d42d4891e4930f79523f93f81bbc7632584ec65e36ab055f41a800b41e",
    "python",
)
PINS: Mapping[str, ToolImage] = {
    "python": PYTHON,
    **{
        tool.NAME: tool.PIN
        for tool in (
            *(cosign, dockle, gitleaks, grype, hadolint, kubeconform, kustomize),
            *(opa, semgrep, syft, trivy, uv),
        )
    },
}
MADE = (bandit.NAME, detect_secrets.NAME, pip_audit.NAME, safety.NAME)
# Taken along in a set of images, and not needed: the engine itself copies and pushes images.
UNUSED = ("crane",)


@dataclass(frozen=True, slots=True)
class Images:
    """An image for each tool, by the name of its command; for `python` and `uv` always."""

    by_name: Mapping[str, ToolImage]

    def of(self, command: str) -> ToolImage | None:
        """The image that has the command; None for one of `MADE`.

        Raises KeyError for a command that is no tool of ours.
        """
        if command in MADE:
            return self.by_name.get(command)
        return self.by_name[command]

    @property
    def python(self) -> ToolImage:
        return self.by_name["python"]

    @property
    def uv(self) -> ToolImage:
        return self.by_name["uv"]

    @property
    def references(self) -> dict[str, str]:
        """Every image's reference by its name, sorted: what a record says was used."""
        return {name: self.by_name[name].reference for name in sorted(self.by_name)}


PINNED = Images(PINS)


def load(text: str, name: str) -> Images:
    """The pins with other images laid over them: YAML or JSON that maps names to references.

    `name` is the file's name in messages. An image that replaces a pin has the program where the
    pinned one has it; one for a tool of `MADE` has it on its search path. Raises InvalidInput with
    every problem of the file.
    """
    known = sorted({*PINS, *MADE, *UNUSED})
    document = parse(
        name,
        text.encode("utf-8", "surrogatepass"),
        expected="a mapping of tools to images",
        remedy=f"Give each image as NAME: REFERENCE@sha256:…; the names are {', '.join(known)}.",
    )
    problems = [*document.problems, *_problems(document, known)]
    if problems:
        raise InvalidInput(sorted(problems, key=lambda problem: (problem.line or 0, problem.path)))
    replaced = {
        key: ToolImage(reference, PINS[key].program if key in PINS else key)
        for key, reference in document.root.items()
        if key not in UNUSED
    }
    return Images({**PINS, **replaced})


def _problems(document: Document, known: list[str]) -> Iterator[Problem]:
    for key, value in document.root.items():
        if key not in known:
            near = difflib.get_close_matches(key[:100], known, n=1)
            found, expected = "an unknown tool", f"one of {', '.join(known)}"
            remedy = f"Did you mean {near[0]}?" if near else "Remove it: nothing would use it."
        elif (key,) not in document.spoiled and not _is_by_digest(value):
            found, expected = shown(value), image_reference.EXPECTED
            remedy = (
                "Add the digest, which the registry and `docker buildx imagetools inspect` tell. "
                "A tag alone may be another image tomorrow."
            )
        else:
            continue
        line = document.lines[(key,)]
        yield Problem(document.file, dotted((key,)), found, expected, remedy, line)


def _is_by_digest(value: object) -> bool:
    return isinstance(value, str) and image_reference.parse(value) is not None
