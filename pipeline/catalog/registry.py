"""The catalog on an MLflow model registry. How it lies there is told in `entries.py`.

MLflow is opened by the first call that the cache cannot answer. A write leaves the cache warm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from pydantic import TypeAdapter

from pipeline.catalog import address as addresses
from pipeline.catalog import connection, entries
from pipeline.catalog.address import Address
from pipeline.catalog.cache import Cache
from pipeline.catalog.interface import Event, Serving, Version
from pipeline.environment import Environment
from pipeline.state import State, locked

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")

LISTING = "in service"
_LOCK_WAIT = 120.0
_LISTING = TypeAdapter(list[entries.Listed])
_EVENTS = TypeAdapter(list[Event])
_VERSIONS = TypeAdapter(list[Version])
_YES = TypeAdapter(bool)


class MlflowCatalog:
    """A `Catalog` for one state folder."""

    def __init__(
        self, state: State, connect: Callable[[Address], MlflowClient] = connection.connect
    ) -> None:
        self.address = addresses.resolve(state.root)
        self._lock = state.root / "catalog.lock"
        self._cache = Cache(state.root / "catalog-cache.json", self.address.database)
        self._connect = connect
        self._client: MlflowClient | None = None

    def serving(self, name: str, namespace: str, environment: Environment) -> Serving | None:
        """What serves this model there, or None."""
        if self.address.database is None:
            return self._ask(lambda client: entries.serving(client, name, namespace, environment))
        # One listing answers for all models, so that an event of one makes no other's answer void.
        for item in self.in_service(environment):
            if (item.name, item.namespace) == (name, namespace):
                return item
        return None

    def in_service(self, environment: Environment | None = None) -> list[Serving]:
        """All that serves, in one environment or in all, sorted by environment and name."""
        found = [item.serving for item in self._read(LISTING, _LISTING, entries.listing)]
        return [item for item in found if environment in (None, item.environment)]

    def history(
        self, name: str, namespace: str, environment: Environment | None = None
    ) -> list[Event]:
        """Every event of a model, newest first."""
        events = self._read(
            f"history {namespace}/{name}",
            _EVENTS,
            lambda client: entries.events(client, name, namespace),
        )
        return [event for event in events if environment in (None, event.environment)]

    def versions(self, name: str, namespace: str) -> list[Version]:
        """Every release of a model that was ever registered, newest first."""
        return self._read(
            f"versions {namespace}/{name}",
            _VERSIONS,
            lambda client: entries.versions(client, name, namespace),
        )

    def register(self, event: Event) -> None:
        """Record an event. Telling it again changes nothing and completes what was cut short."""
        told = f"told {entries.name_of(event)} {event.release}"
        if self._is_recorded(event) or self._cache.get(told, _YES):
            return
        with locked(self._lock, wait=_LOCK_WAIT):
            self._ask(lambda client: entries.record(client, self.address, event))
            if self._cache.database is None:
                return
            # The store is open now; the next command should not have to open it for these.
            self._cache.put(told, _YES, True, self._cache.content())
            self.in_service()
            self.history(event.name, event.namespace)

    def _is_recorded(self, event: Event) -> bool:
        """Whether the cache shows what only the last write of this event's entry leaves."""
        return any(
            item.settled and item.serving == event.serving
            for item in self._cache.get(LISTING, _LISTING) or []
        )

    def _read(
        self, key: str, form: TypeAdapter[list[T]], ask: Callable[[MlflowClient], list[T]]
    ) -> list[T]:
        database = self.address.database
        if database is not None and not connection.exists(database):
            return []
        answer = self._cache.get(key, form)
        if answer is None:
            content = self._cache.content()
            answer = self._ask(ask)
            self._cache.put(key, form, answer, content)
        return answer

    def _ask(self, ask: Callable[[MlflowClient], T]) -> T:
        with connection.failures(self.address):
            if self._client is None:
                self._client = self._connect(self.address)
            return ask(self._client)
