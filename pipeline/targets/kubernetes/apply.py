"""Applying objects: a trial that shows every no at once, then the writing, and what is removed."""

from __future__ import annotations

import copy
import time
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import anyio

from pipeline.targets.kubernetes import reasons
from pipeline.targets.kubernetes.cluster import Cluster, NoSuchKind, Refused
from pipeline.targets.kubernetes.objects import Document, Key, is_ours
from pipeline.verdict import Level, Violation

RETRIED = "mlifecycle.io/retried-at"
_PAUSE = 0.5


async def known(
    cluster: Cluster, documents: Iterable[Document], may_lack: Collection[str]
) -> tuple[list[Document], list[Violation]]:
    """The objects whose kind the cluster has, and what is said about the others.

    A kind in `may_lack` is left out with a warning; another that is lacking is a no.
    """
    found: list[Document] = []
    said: list[Violation] = []
    for document in documents:
        key = Key.of(document)
        if await cluster.kind(key.api_version, key.kind):
            found.append(document)
            continue
        allowed = key.kind in may_lack
        said.append(
            Violation(
                id="DP-KND-001",
                title="The cluster does not know a kind of object",
                level=Level.WARN if allowed else Level.DENY,
                path=str(key),
                actual=f"no {key.kind} of {key.api_version} in {cluster.context}",
                expected="a cluster with its CustomResourceDefinition",
                remedy="It is left out. Install its operator to have it."
                if allowed
                else "Install its operator, or allow it to be left out (cluster.may_lack in the "
                "environment's policy data).",
            )
        )
    return found, said


async def trial(
    cluster: Cluster, documents: Iterable[Document], name: str, ours: Collection[Key], force: bool
) -> list[Violation]:
    """What the server would say to each object, without writing any.

    `ours` are the objects that an earlier deploy of `name` made: another one that is there already
    is somebody else's.
    """
    found: list[Violation] = []
    for document in documents:
        key = Key.of(document)
        try:
            if key not in ours and (live := await cluster.find(key)) is not None:
                found.append(_foreign(key, live, name))
                continue
            await cluster.apply(document, trial=True, force=force)
        except Refused as refused:
            found += refusals(key, refused)
    return found


def refusals(key: Key, refused: Refused) -> list[Violation]:
    """A server's no to one object, as violations: one for each field in conflict, else one."""
    conflicts = [c for c in refused.causes if c.get("reason") == "FieldManagerConflict"]
    if refused.status == 409 and conflicts:
        return [_conflict(key, cause) for cause in conflicts]
    if refused.status == 403 and "is forbidden: User" in refused.message:
        expected, remedy = (
            "an account that may do so",
            "Grant it: kustomize/components/deployer-rbac has what a deploy needs.",
        )
    else:
        expected, remedy = (
            "an object that the server and its admission policies take",
            "Correct the manifest or the overlay, or ask whoever keeps the cluster's policies.",
        )
    return [
        Violation(
            id="DP-APL-001",
            title="The cluster refuses an object",
            path=str(key),
            actual=refused.message,
            expected=expected,
            remedy=remedy,
        )
    ]


def _conflict(key: Key, cause: Mapping[str, Any]) -> Violation:
    return Violation(
        id="DP-APL-002",
        title="Somebody else has set a field of an object",
        path=f"{key} {cause.get('field', '')}".strip(),
        actual=str(cause.get("message", "")),
        expected="fields that nobody but mlifecycle sets",
        remedy="Put the change into the manifest or the overlay, or undo it; --force-conflicts "
        "writes over it.",
    )


def _foreign(key: Key, live: Document, name: str) -> Violation:
    marked = "that no deploy has on record" if is_ours(live, name) else "that is not ours"
    return Violation(
        id="DP-APL-003",
        title="An object of that name is there already",
        path=str(key),
        actual=f"a {key.kind} {marked}, of {live['metadata'].get('creationTimestamp')}",
        expected="a free name, or an object that an earlier deploy of the model made",
        remedy="Delete it if nobody needs it, or give the model another name or namespace.",
    )


async def apply(cluster: Cluster, documents: Iterable[Document], *, force: bool) -> None:
    """Write the objects in their order. Raises Refused."""
    for document in documents:
        await cluster.apply(document, force=force)


async def retried(cluster: Cluster, documents: Iterable[Document]) -> list[Document]:
    """The objects, with a mark on each Deployment that was refused its pods.

    A controller that is refused tries again later and later, up to some sixteen minutes, also when
    what refused it is long gone. A mark that it has not seen makes it try at once; the next apply
    takes it away.
    """
    found: list[Document] = []
    for document in documents:
        if document["kind"] == "Deployment":
            live = await cluster.find(Key.of(document))
            if live is not None and reasons.of_deployment(live) is not None:
                document = copy.deepcopy(document)
                marks = document["metadata"].setdefault("annotations", {})
                marks[RETRIED] = datetime.now(UTC).isoformat()
        found.append(document)
    return found


async def remove(
    cluster: Cluster, keys: Iterable[Key], name: str, *, wait: float = 0.0
) -> list[Key]:
    """Delete those of the objects that carry our labels, the last applied first.

    With `wait`, for up to so many seconds until they are gone. Returns those that are not.
    """
    told: list[Key] = []
    for key in reversed(list(keys)):
        try:
            live = await cluster.find(key)
            if live is not None and is_ours(live, name):
                path, uid = await cluster.path(key), live["metadata"]["uid"]
                await cluster.delete(path, first=wait > 0, uid=uid)
                told.append(key)
        except NoSuchKind:
            continue
    deadline = time.monotonic() + wait
    while told and time.monotonic() < deadline:
        told = [key for key in told if await cluster.find(key) is not None]
        if told:
            await anyio.sleep(_PAUSE)
    return told
