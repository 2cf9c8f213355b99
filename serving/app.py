"""The server's application, put together."""

from __future__ import annotations

import logging
from collections.abc import Callable

from serving import golden, logs
from serving.access.building import Surroundings
from serving.access.gate import Gate
from serving.batching import Batcher, Mode
from serving.http import operations, v2
from serving.http.application import Application, AsgiApp, page
from serving.http.exchange import Exchange, Route
from serving.http.infer import Infer
from serving.http.predict import Predict
from serving.http.problems import Refused
from serving.lanes.interface import Lane, Rows
from serving.limits import Limits
from serving.metrics.metrics import Metrics
from serving.readiness import Readiness
from serving.settings import Settings
from serving.signature import Signature

_log = logging.getLogger("serving.app")
_NOT_LOADED = ("the model is not loaded",)
# The names that requests are counted under.
ROUTES = ("health", "ready", "info", "metrics", "docs", "predict", "infer", "v2")


class _Missing:
    """In the place of a model that is not loaded. Nobody gets as far as to ask it."""

    name = ""

    def predict(self, rows: Rows) -> Rows:
        raise RuntimeError("the model is not loaded")


def create_app(
    settings: Settings,
    lane: Lane | None,
    *,
    limits: Limits | None = None,
    surround: Callable[[Metrics], Surroundings] | None = None,
    mode: Mode | None = None,
    metrics: Metrics | None = None,
) -> Application:
    """The application for the model in `lane`, or one that is alive and never ready without one.

    `surround` gives it what a configuration asks for; without it everybody may ask. Without `mode`
    the model is asked as the release says. Several workers share their `metrics`. Raises
    ServingError.
    """
    logs.configure(settings)
    limits = limits or Limits()
    readiness = Readiness(golden.failures(settings, lane) if lane is not None else _NOT_LOADED)
    for reason in readiness.lasting:
        _log.error("not ready: %s", reason)
    if lane is not None:
        readiness.trial = lambda: golden.failures(settings, lane)
    signature = Signature(settings.inputs)
    metrics = metrics or Metrics(settings, ROUTES)
    batcher = Batcher(
        lane or _Missing(),
        signature,
        len(settings.classes),
        limits,
        metrics,
        readiness,
        mode or settings.batching,
    )
    around = surround(metrics) if surround is not None else Surroundings(Gate(None))
    readiness.locked_out = around.trouble
    batcher.keep_rows = any(observer.wants_rows for observer in around.observers)
    lane_name = lane.name if lane is not None else ""

    def once_ready(route: Route) -> Route:
        def checked(exchange: Exchange) -> None:
            if readiness.lasting:
                raise Refused(503, "not_ready", "The model is not ready: see /ready.")
            route(exchange)

        return checked

    predict = once_ready(Predict(settings, signature, batcher, limits))
    routes: dict[str, dict[str, tuple[str, Route]]] = {
        "/health": {"GET": ("health", operations.health)},
        "/ready": {"GET": ("ready", operations.Ready(readiness))},
        "/model/info": {"GET": ("info", operations.Info(settings, lane_name, batcher, limits))},
        "/predict": {"POST": ("predict", predict)},
        "/openapi.json": {"GET": ("docs", page)},
        "/docs": {"GET": ("docs", page)},
    }
    infer = once_ready(Infer(settings, signature, batcher, limits))
    routes |= v2.routes(settings, lane_name, readiness, infer)
    if settings.metrics:
        scrape = operations.Exposition(metrics, readiness, lane_name)
        routes["/metrics"] = {"GET": ("metrics", scrape)}

    def pages() -> AsgiApp:
        from serving.http.pages import Pages

        return Pages(settings, limits)

    application = Application(
        routes, pages, around.gate, around.observers, limits, metrics, readiness, batcher
    )
    application.services = around.services
    return application
