"""The gate and the recorders that a configuration asks for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.access.gate import Credentials, Gate
from serving.access.refreshed import Refreshed, of_file
from serving.configuration import PUBLIC, Configuration
from serving.errors import InvalidConfiguration, ServingError
from serving.http.application import Service
from serving.http.exchange import Observer
from serving.metrics.metrics import Metrics
from serving.record import traces
from serving.record.audit import Audit, AuditTo
from serving.settings import Settings

# Seconds between two looks at a file.
FILE_INTERVAL = 1.0
PREDICTIONS = ("predict", "infer")

_log = logging.getLogger("serving.access")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the application gets from its configuration.

    `trouble` says for each source of credentials why it is not usable; empty when it is.
    """

    gate: Gate
    observers: tuple[Observer, ...] = ()
    services: tuple[Service, ...] = ()
    trouble: Callable[[], tuple[str, ...]] = tuple


def surroundings(
    configuration: Configuration,
    environ: Mapping[str, str],
    settings: Settings,
    metrics: Metrics,
    workers: int = 1,
) -> Surroundings:
    """Put it together; files are read. Raises ServingError.

    `environ` is for OpenTelemetry's own variables.
    """
    services: list[Service] = []
    observers: list[Observer] = []
    sources: list[Refreshed[Any]] = []
    credentials = _credentials(configuration, workers, sources)
    services += sources
    sampling = None
    if traces.wanted(environ):
        sampling = traces.sampling(environ)
        exporting = traces.Traces(settings, metrics.traces_lost)
        observers.append(exporting)
        services.append(exporting)
    if configuration.audit is not None:
        masked = configuration.audit_masked or frozenset()
        if unknown := masked - {feature.name for feature in settings.inputs}:
            raise InvalidConfiguration(
                f"MLIFECYCLE_SERVING_AUDIT_MASKED is {', '.join(sorted(unknown))!a}; expected "
                "features of the model's signature"
            )
        to = AuditTo(configuration.audit, configuration.audit_inputs, masked)
        audit = Audit(to, settings, PREDICTIONS, metrics.audit_lost)
        observers.append(audit)
        services.append(audit)
    public = [path for part in configuration.public for path in PUBLIC[part]]
    if credentials is None:
        _log.warning(
            "authentication is off: whoever reaches this server may ask it (set "
            "MLIFECYCLE_SERVING_AUTHENTICATION)"
        )
    else:
        methods = " and ".join(sorted(configuration.authentication))
        _log.info("authentication is on: %s; open to everybody: %s", methods,
                  ", ".join(sorted(public)) or "nothing")  # fmt: skip
    return Surroundings(
        Gate(credentials, public, sampling),
        tuple(observers),
        tuple(services),
        lambda: tuple(reason for reason in (source.reason() for source in sources) if reason),
    )


def _credentials(
    configuration: Configuration, workers: int, sources: list[Refreshed[Any]]
) -> Credentials | None:
    if not configuration.authentication:
        return None
    keys = tokens = None
    if configuration.keys_file is not None:
        from serving.access import keys as api_keys

        path = configuration.keys_file
        keys = Refreshed(
            f"the key file {path}",
            of_file(path),
            api_keys.read,
            FILE_INTERVAL,
            configuration.keys_grace,
        )
        keys.load()
        sources.append(keys)
    if configuration.jwt_keys is not None:
        try:
            from serving.access import tokens as signed
        except ImportError as error:
            raise InvalidConfiguration(f"the environment lacks what tokens need: {error}") from None

        where = configuration.jwt_keys
        is_file = isinstance(where, Path)
        public = Refreshed(
            f"the public keys {where}",
            of_file(where) if isinstance(where, Path) else signed.of_url(where),
            signed.reader(configuration.jwt_algorithms),
            FILE_INTERVAL if is_file else configuration.jwt_refresh,
            configuration.jwt_grace,
        )
        try:
            public.load()
        except ServingError:
            # An issuer may be away for a while; the server waits for it, not ready.
            if is_file:
                raise
        demands = signed.Demands(
            configuration.jwt_issuer or "",
            configuration.jwt_audience or "",
            configuration.jwt_algorithms,
            configuration.jwt_leeway,
            configuration.jwt_caller,
        )
        tokens = signed.Tokens(demands, public)
        sources.append(public)
    return Credentials(keys, tokens, configuration.rate, configuration.burst, workers)
