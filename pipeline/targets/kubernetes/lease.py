"""One change of a deployment at a time, whoever makes it and from wherever: a Lease in the cluster.

The Lease is there while a command holds it, and is renewed. One whose holder was killed runs out.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import anyio

from pipeline.errors import Busy, EnvironmentFailed, first_of
from pipeline.targets.kubernetes.cluster import Cluster, Lost, Refused
from pipeline.targets.kubernetes.objects import MANAGED_BY, NAME_LABEL, Document, Key

DURATION = 30  # seconds without a renewal, after which it is anybody's
_RENEWAL = 5.0
_PAUSE = 1.0


def holder(run: str) -> str:
    """Who asks: the machine, the process and its run."""
    return f"{socket.gethostname()}/{os.getpid()}/{run}"


def key(namespace: str, name: str) -> Key:
    """What names a deployment's Lease."""
    return Key("coordination.k8s.io/v1", "Lease", namespace, f"mlifecycle-{name}")


def ran_out(found: Document) -> bool:
    """Whether its holder has not renewed it in time, by this machine's clock."""
    renewed = datetime.fromisoformat(found["spec"]["renewTime"].replace("Z", "+00:00"))
    return (datetime.now(UTC) - renewed).total_seconds() > DURATION


@contextlib.asynccontextmanager
async def held(
    cluster: Cluster,
    namespace: str,
    name: str,
    by: str,
    *,
    wait: float,
    on_wait: Callable[[str], None],
) -> AsyncIterator[None]:
    """Hold the deployment's Lease. Raises Busy after `wait` seconds in another's hands.

    What is done under it is cancelled, with EnvironmentFailed, if it is lost.
    """
    lease = _Lease(cluster, key(namespace, name))
    await lease.take(by, name, wait, on_wait)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(lease.renew, by)
            yield
            group.cancel_scope.cancel()
    except BaseExceptionGroup as errors:
        raise first_of(errors) from None
    finally:
        with anyio.move_on_after(10, shield=True), contextlib.suppress(EnvironmentFailed, Refused):
            await lease.release(by)


class _Lease:
    def __init__(self, cluster: Cluster, key: Key) -> None:
        self._cluster = cluster
        self._key = key

    async def take(self, by: str, name: str, wait: float, on_wait: Callable[[str], None]) -> None:
        deadline = time.monotonic() + wait
        version, since, told = "", 0.0, ""
        while True:
            path = await self._cluster.path(self._key)
            found = await self._cluster.get(path)
            with contextlib.suppress(_Taken):
                if found is None:
                    await self._write(by, name, None)
                    return
                if found["metadata"]["resourceVersion"] != version:
                    version, since = found["metadata"]["resourceVersion"], time.monotonic()
                # By this machine's clock alone: others' may be wrong.
                if time.monotonic() - since > DURATION:
                    await self._write(by, name, version)
                    return
            other = (found or {}).get("spec", {}).get("holderIdentity", "another command")
            if time.monotonic() >= deadline:
                raise Busy(
                    f"Another command is at work on {self._key.namespace}/{name}: {other}.",
                    "Wait for it to end, or for half a minute if it was killed.",
                )
            if other != told:
                told = other
                on_wait(f"waiting for {other}")
            await anyio.sleep(_PAUSE)

    async def renew(self, by: str) -> None:
        while True:
            await anyio.sleep(_RENEWAL)
            # What is done under the Lease finds that out by itself, and knows what it means.
            with contextlib.suppress(_Taken, Lost):
                await self._renewed(by)

    async def _renewed(self, by: str) -> None:
        found = await self._cluster.get(await self._cluster.path(self._key))
        if found is None or found["spec"].get("holderIdentity") != by:
            raise EnvironmentFailed(
                "Another command has taken over while the API server was out of reach.",
                "See `mlifecycle status --target kubernetes`.",
            )
        await self._write(by, "", found["metadata"]["resourceVersion"], found)

    async def release(self, by: str) -> None:
        path = await self._cluster.path(self._key)
        found = await self._cluster.get(path)
        if found is not None and found["spec"].get("holderIdentity") == by:
            version = found["metadata"]["resourceVersion"]
            await self._cluster.delete(path, resourceVersion=version)

    async def _write(
        self, by: str, name: str, version: str | None, found: Document | None = None
    ) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        path = await self._cluster.path(self._key)
        document = found or {
            "apiVersion": self._key.api_version,
            "kind": self._key.kind,
            "metadata": {
                "name": self._key.name,
                "namespace": self._key.namespace,
                "labels": {MANAGED_BY[0]: MANAGED_BY[1], NAME_LABEL: name},
            },
            "spec": {"acquireTime": now},
        }
        document["spec"] |= {
            "holderIdentity": by,
            "leaseDurationSeconds": DURATION,
            "renewTime": now,
        }
        try:
            if version is None:
                await self._cluster.create(path.rpartition("/")[0], document)
            else:
                document["metadata"]["resourceVersion"] = version
                await self._cluster.replace(path, document)
        except Refused as refused:
            if refused.status in (404, 409):
                raise _Taken from None
            raise


class _Taken(Exception):
    """Somebody else was faster."""
