"""Asking what a Service routes to, from outside the cluster: a port-forward to each of its pods.

The addresses of pods are not reached from outside, and a proxy that balances by itself would show
one pod where another fails. Who is behind the Service is what its EndpointSlices say.
"""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import anyio
from kubernetes.client import ApiException
from kubernetes.stream import ws_client

from pipeline.targets.http import HttpClient
from pipeline.targets.interface import Client, Reply
from pipeline.targets.kubernetes.cluster import Cluster
from pipeline.targets.kubernetes.waiting import NotReady

SECONDS = 30.0  # for one answer
_SETTLE = 30.0  # until a Service has learnt which pods are ready
_PAUSE = 0.2


@dataclass(frozen=True, slots=True, order=True)
class Backend:
    """One pod that a Service sends requests to."""

    pod: str
    port: int


class _Forwarded(http.client.HTTPConnection):
    def __init__(self, cluster: Cluster, namespace: str, backend: Backend, seconds: float) -> None:
        super().__init__("localhost", backend.port, timeout=seconds)
        self._cluster = cluster
        self._path = f"/api/v1/namespaces/{namespace}/pods/{backend.pod}/portforward"

    def connect(self) -> None:
        client = self._cluster.client
        _, url, headers, _, _ = client.param_serialize(
            method="GET",
            resource_path=self._path,
            query_params=[("ports", str(self.port))],
            auth_settings=["BearerToken"],
        )
        try:
            forward = ws_client.portforward_call(client.configuration, "GET", url, headers=headers)
        except ApiException as error:
            raise ConnectionError(f"no way to the pod: {error.reason}") from error
        self.sock = forward.socket(self.port)
        self.sock.settimeout(self.timeout)


class ServiceClient:
    """Asks the pods behind a Service in turn."""

    def __init__(self, clients: list[HttpClient]) -> None:
        self._clients = clients
        self._next = 0

    async def get(self, path: str) -> Reply:
        """GET `path` from the next pod. Raises OSError when there is no answer."""
        return await self._turn().get(path)

    async def post(self, path: str, body: Any) -> Reply:
        """POST `body` as JSON to the next pod. Raises OSError when there is no answer."""
        return await self._turn().post(path, body)

    def _turn(self) -> Client:
        self._next += 1
        return self._clients[self._next % len(self._clients)]


async def backends(cluster: Cluster, namespace: str, service: str) -> list[Backend]:
    """The pods that a Service sends requests to now."""
    slices = await cluster.listed(
        f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
        f"kubernetes.io/service-name={service}",
    )
    return sorted(
        Backend(endpoint["targetRef"]["name"], port["port"])
        for each in slices
        for endpoint in each.get("endpoints") or ()
        for port in (each.get("ports") or ())[:1]
        if (endpoint.get("conditions") or {}).get("ready") and endpoint.get("targetRef")
    )


async def routed_to(
    cluster: Cluster, namespace: str, service: str, pods: set[str]
) -> list[Backend]:
    """The backends, once they are exactly `pods`. Raises NotReady when they do not get so."""
    deadline = time.monotonic() + _SETTLE
    while True:
        found = await backends(cluster, namespace, service)
        if pods and {each.pod for each in found} == pods:
            return found
        if time.monotonic() > deadline:
            names = ", ".join(each.pod for each in found) or "no pod"
            raise NotReady(
                f"Service {service} sends requests to {names}, and ready are {', '.join(pods)}"
            )
        await anyio.sleep(_PAUSE)


@contextlib.asynccontextmanager
async def asking(
    cluster: Cluster, namespace: str, found: list[Backend], key: str | None
) -> AsyncIterator[list[tuple[Backend, HttpClient]]]:
    """A client for each backend, with an API key or without."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    pairs = [
        (backend, HttpClient(_Forwarded(cluster, namespace, backend, SECONDS), headers))
        for backend in found
    ]
    try:
        yield pairs
    finally:
        for _, client in pairs:
            client.close()
