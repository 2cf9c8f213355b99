"""What is asked of Prometheus about a deployed model, in PromQL.

The names of namespace and deployment are DNS labels, so that they can stand in a query as they are.
Prometheus' operator puts `namespace` and `service` to every series that a ServiceMonitor leads to;
`up` has them as well.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.manifest import ModelDeployment

Share = Callable[[ModelDeployment, str], str]

REQUESTS = "mlifecycle_requests_total"
DURATION = "mlifecycle_request_duration_seconds"
# The routes that ask the model.
ASKING = 'route=~"predict|infer"'


def of(model: ModelDeployment, *more: str) -> str:
    """The selector of the model's series, with further matchers."""
    metadata = model.metadata
    matchers = (f'namespace="{metadata.namespace}"', f'service="{metadata.name}"', *more)
    return "{" + ",".join(matchers) + "}"


def rate(model: ModelDeployment, metric: str, window: str, *more: str) -> str:
    """How often a counter counts in a second, over all servers."""
    return f"sum(rate({metric}{of(model, *more)}[{window}]))"


def failed_share(model: ModelDeployment, window: str) -> str:
    """The share of requests that failed by the server's fault; nothing while there are none."""
    # A server shows a status only after its first answer of that kind.
    failed = rate(model, REQUESTS, window, ASKING, 'status=~"5.."')
    return f"({failed} or vector(0)) / {rate(model, REQUESTS, window, ASKING)}"


def slow_share(model: ModelDeployment, limit: float, window: str) -> str:
    """The share of requests that took longer than `limit` seconds, one of the server's bounds."""
    # As clients write the bound: Prometheus 2 knows 1.0, and 3 makes 1 of it.
    bound = f"{limit:g}".replace(".", "[.]")
    matcher = f'le=~"{bound}{"" if "." in bound else "([.]0)?"}"'
    soon = rate(model, f"{DURATION}_bucket", window, ASKING, matcher)
    return f"1 - {soon} / {rate(model, f'{DURATION}_count', window, ASKING)}"


def quantile(model: ModelDeployment, share: float, window: str) -> str:
    """The seconds within which this share of requests is answered."""
    buckets = f"rate({DURATION}_bucket{of(model, ASKING)}[{window}])"
    return f"histogram_quantile({share:g}, sum by (le) ({buckets}))"


def drift(model: ModelDeployment) -> str:
    """Each watched feature's population stability index, where it is largest."""
    return f"max by (feature) (mlifecycle_feature_drift_psi{of(model)})"


def drift_over(model: ModelDeployment, window: str) -> str:
    """The same, as the mean over a window."""
    return f"max by (feature) (avg_over_time(mlifecycle_feature_drift_psi{of(model)}[{window}]))"
