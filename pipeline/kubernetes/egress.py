"""The way out of a pod to an address that the manifest names, as a NetworkPolicy has to put it.

A NetworkPolicy knows pods and addresses, and no host names. A service of the cluster stands for its
namespace; its port is the one that its pods listen on.
"""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit


def rule(endpoint: str | None) -> dict[str, Any] | None:
    """The rule that lets requests to `endpoint` (http://HOST[:PORT]…) out; None without one."""
    if endpoint is None:
        return None
    parts = urlsplit(endpoint)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    peers = _peers(parts.hostname or "")
    return {"to": peers, "ports": [{"protocol": "TCP", "port": port}]}


def _peers(host: str) -> list[dict[str, Any]]:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return [{"ipBlock": {"cidr": f"{address}/{address.max_prefixlen}"}}]
    labels = host.split(".")
    if len(labels) == 1:
        return [{"podSelector": {}}]
    # collector.observability, collector.observability.svc and what follows it
    if len(labels) == 2 or labels[2] == "svc":
        # Not as matchLabels, to which kustomize adds the model's own.
        chosen = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": [labels[1]]}
        return [{"namespaceSelector": {"matchExpressions": [chosen]}}]
    return [{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}}]
