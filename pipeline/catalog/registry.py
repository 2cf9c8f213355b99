"""The catalog on an MLflow model registry.

How it lies in MLflow, for whoever reads it there:

- Registered model `<namespace>.<name>` (neither part can hold a dot); one model version a release,
  tagged with all digests; an alias per environment on the version that serves.
- Tag `mlifecycle.<environment>` of the registered model: what serves there, whole, as JSON. One
  tag is one write, so a reader sees the old state or the new. It is what `serving` reads: the
  alias is for MLflow's own users, and moving it by hand moves no traffic.
- Experiment `mlifecycle/<namespace>/<name>`: a run for every event, with the event as JSON in a
  tag and its facts as tags and metrics. A run that is not FINISHED was cut short.

A command can be killed between any two calls. The event's run is made first, in one write with
all facts and with the run that it follows; telling the event again finds that run and does the
rest. Whether the rest may still move the alias is decided by who came last, not by clocks: it may
as long as the state is still the one that the event follows.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.catalog import address as addresses
from pipeline.catalog import connection
from pipeline.catalog.address import Address
from pipeline.catalog.cache import NOTHING, Cache
from pipeline.catalog.interface import Event, Serving, Version
from pipeline.environment import Environment
from pipeline.errors import EnvironmentFailed
from pipeline.state import State, locked

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

PREFIX = "mlifecycle."
_PAGE = 1000
_LOCK_WAIT = 120.0


class _Current(BaseModel):
    """What the tag `mlifecycle.<environment>` holds: the last event's MLflow run and its result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    event: str
    serving: Serving | None


class MlflowCatalog:
    """A `Catalog` for one state folder. Opens MLflow on the first call that needs it."""

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
        key = f"serving {namespace}/{name} {environment}"

        def read(client: MlflowClient) -> Any:
            model = _model(client, f"{namespace}.{name}")
            current = _current(model, environment) if model else None
            return _json(current.serving) if current else None

        answer = self._read(key, None, read)
        return None if answer is None else Serving.model_validate(answer)

    def in_service(self, environment: Environment | None = None) -> list[Serving]:
        """All that serves, in one environment or in all, sorted by environment and name."""
        answer = self._read("in service", [], _all_serving)
        found = [Serving.model_validate(item) for item in answer]
        return [item for item in found if environment in (None, item.environment)]

    def history(
        self, name: str, namespace: str, environment: Environment | None = None
    ) -> list[Event]:
        """Every event of a model, newest first."""

        def read(client: MlflowClient) -> Any:
            return [_json(event) for event in _events(client, namespace, name)]

        answer = self._read(f"history {namespace}/{name}", [], read)
        events = [Event.model_validate(item) for item in answer]
        return [event for event in events if environment in (None, event.environment)]

    def versions(self, name: str, namespace: str) -> list[Version]:
        """Every release of a model that was ever registered, newest first."""

        def read(client: MlflowClient) -> Any:
            return [_json(version) for version in _versions(client, f"{namespace}.{name}")]

        answer = self._read(f"versions {namespace}/{name}", [], read)
        return [Version.model_validate(item) for item in answer]

    def register(self, event: Event) -> None:
        """Record an event. Telling it again changes nothing and completes what was cut short."""
        told = f"told {_name_of(event)} {event.release}"
        if self._cache.get(told) is not NOTHING:
            return
        with locked(self._lock, wait=_LOCK_WAIT), self._open() as client:
            _register(client, self.address, event)
            # The store is open now; the next command should not have to open it for these.
            content = self._cache.content()
            place = f"{event.namespace}/{event.name}"
            model = _model(client, _registered_name(event))
            current = _current(model, event.environment) if model else None
            answers = {
                told: True,
                f"serving {place} {event.environment}": _json(current.serving) if current else None,
                f"history {place}": [
                    _json(e) for e in _events(client, event.namespace, event.name)
                ],
                "in service": _all_serving(client),
            }
            self._cache.put(content, answers)

    def _read(self, key: str, nothing: Any, read: Callable[[MlflowClient], Any]) -> Any:
        database = self.address.database
        if database is not None and not connection.exists(database):
            return nothing
        answer = self._cache.get(key)
        if answer is not NOTHING:
            return answer
        content = self._cache.content()
        with self._open() as client:
            answer = read(client)
        self._cache.put(content, {key: answer})
        return answer

    @contextlib.contextmanager
    def _open(self) -> Iterator[MlflowClient]:
        with connection.failures(self.address):
            if self._client is None:
                self._client = self._connect(self.address)
            yield self._client


def _registered_name(event: Event) -> str:
    return f"{event.namespace}.{event.name}"


def _name_of(event: Event) -> str:
    return f"{event.namespace}/{event.name} {event.run} {event.kind}"


def _json(item: BaseModel | None) -> Any:
    return None if item is None else item.model_dump(mode="json")


def _register(client: MlflowClient, address: Address, event: Event) -> None:
    experiment = _experiment(client, address, event)
    model = _registered_model(client, event)
    current = _current(model, event.environment)
    last = current.event if current else ""

    entry = _entry(client, experiment, event)
    if entry is None:
        entry = client.create_run(
            experiment,
            start_time=_milliseconds(event.at),
            run_name=f"{event.kind} {event.version} {event.environment}",
            tags=_tags(event) | {f"{PREFIX}follows": last},
        )
    entry_id = entry.info.run_id
    finished = entry.info.status == "FINISHED"
    if not finished:
        _log_metrics(client, entry_id, event)
    number = _model_version(client, event, entry_id)

    # An empty state beside a finished event means that the registered model was deleted.
    if last in (entry_id, entry.data.tags.get(f"{PREFIX}follows", "")) or not last:
        _place(client, model, event, number, _Current(event=entry_id, serving=event.serving))
    if not finished:
        client.set_terminated(entry_id, "FINISHED", end_time=_milliseconds(datetime.now(UTC)))


def _place(
    client: MlflowClient, model: RegisteredModel, event: Event, number: str, current: _Current
) -> None:
    """Move the alias and then the state, each only if it is not there yet."""
    alias = event.environment.value
    at = model.aliases.get(alias)
    if current.serving is None:
        if at is not None:
            client.delete_registered_model_alias(model.name, alias)
    elif str(at) != number:
        client.set_registered_model_alias(model.name, alias, number)
    if _current(model, event.environment) != current:
        client.set_registered_model_tag(
            model.name, f"{PREFIX}{event.environment}", current.model_dump_json()
        )


def _experiment(client: MlflowClient, address: Address, event: Event) -> str:
    name = _experiment_name(event.namespace, event.name)
    found = client.get_experiment_by_name(name)
    if found is not None:
        if found.lifecycle_stage != "active":
            raise EnvironmentFailed(
                f"The history of {event.namespace}/{event.name} was deleted in MLflow.",
                f"Restore its experiment: mlflow experiments restore -x {found.experiment_id}",
            )
        return str(found.experiment_id)
    location = address.artifacts.as_uri() if address.artifacts else None
    return client.create_experiment(name, artifact_location=location)


def _experiment_name(namespace: str, name: str) -> str:
    return f"mlifecycle/{namespace}/{name}"


def _registered_model(client: MlflowClient, event: Event) -> RegisteredModel:
    name = _registered_name(event)
    return _model(client, name) or client.create_registered_model(
        name, tags={f"{PREFIX}name": event.name, f"{PREFIX}namespace": event.namespace}
    )


def _model(client: MlflowClient, name: str) -> RegisteredModel | None:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _current(model: RegisteredModel, environment: Environment) -> _Current | None:
    text = model.tags.get(f"{PREFIX}{environment}")
    if text is None:
        return None
    try:
        return _Current.model_validate_json(text)
    except ValidationError:
        raise EnvironmentFailed(
            f"The catalog's entry {PREFIX}{environment} of {model.name} cannot be read.",
            "It was changed by hand or by another release of mlifecycle; put it back in MLflow, "
            "or delete that tag and deploy again.",
        ) from None


def _all_serving(client: MlflowClient) -> list[Any]:
    found: list[Serving] = []
    token: str | None = None
    while True:
        page = client.search_registered_models(max_results=_PAGE, page_token=token)
        for model in page:
            states = (_current(model, environment) for environment in Environment)
            found += [state.serving for state in states if state and state.serving]
        token = page.token
        if not token:
            break
    found.sort(key=lambda s: (list(Environment).index(s.environment), s.namespace, s.name))
    return [_json(item) for item in found]


def _model_version(client: MlflowClient, event: Event, entry: str) -> str:
    """The number of the release's one model version, made if it is not there yet."""
    name = _registered_name(event)
    found = client.search_model_versions(
        f"name = '{name}' and tags.`{PREFIX}release` = '{event.release}'", max_results=_PAGE
    )
    if found:
        return str(min(int(version.version) for version in found))
    # The source must look remote: servers refuse local paths, and a release is named by digest.
    made = client.create_model_version(
        name,
        source=f"mlifecycle://releases/{event.release.replace(':', '/')}",
        run_id=entry,
        tags=_version_tags(event),
        await_creation_for=0,
    )
    return str(made.version)


def _versions(client: MlflowClient, name: str) -> list[Version]:
    first: dict[str, Version] = {}
    token: str | None = None
    while True:
        page = client.search_model_versions(f"name = '{name}'", max_results=_PAGE, page_token=token)
        for item in page:
            version = _version(item)
            if version is None:
                continue
            known = first.get(version.release)
            if known is None or version.number < known.number:
                first[version.release] = version
        token = page.token
        if not token:
            break
    return sorted(first.values(), key=lambda version: -version.number)


def _version(item: ModelVersion) -> Version | None:
    """None for a version that somebody made by hand."""
    release, version = item.tags.get(f"{PREFIX}release"), item.tags.get(f"{PREFIX}version")
    if release is None or version is None:
        return None
    registered = datetime.fromtimestamp(item.creation_timestamp / 1000, UTC)
    return Version(
        number=int(item.version), version=version, release=release, registered=registered
    )


def _entry(client: MlflowClient, experiment: str, event: Event) -> Run | None:
    """The MLflow run of this event if it was begun before."""
    found = client.search_runs(
        [experiment],
        f"tags.`{PREFIX}run` = '{event.run}' and tags.`{PREFIX}kind` = '{event.kind}'",
        max_results=_PAGE,
    )
    if not found:
        return None
    entry = min(found, key=lambda run: run.info.run_id)
    recorded = entry.data.tags.get(f"{PREFIX}release")
    if recorded != event.release:
        raise EnvironmentFailed(
            f"The catalog holds the {event.kind} of run {event.run} with release {recorded}, "
            f"not {event.release}.",
            "A run records one release; deploy again to make a new run.",
        )
    return entry


def _events(client: MlflowClient, namespace: str, name: str) -> list[Event]:
    experiment = client.get_experiment_by_name(_experiment_name(namespace, name))
    if experiment is None:
        return []
    events: dict[str, Event] = {}
    token: str | None = None
    while True:
        page = client.search_runs([experiment.experiment_id], max_results=_PAGE, page_token=token)
        for run in sorted(page, key=lambda run: run.info.run_id, reverse=True):
            text = run.data.tags.get(f"{PREFIX}event")
            if text is None:  # somebody's own run in our experiment
                continue
            event = _event(text, run.info.run_id)
            events[_name_of(event)] = event
        token = page.token
        if not token:
            break
    return sorted(events.values(), key=lambda event: event.at, reverse=True)


def _event(text: str, run: str) -> Event:
    try:
        return Event.model_validate_json(text)
    except ValidationError:
        raise EnvironmentFailed(
            f"The catalog's MLflow run {run} holds an event that cannot be read.",
            "It was changed by hand or by another release of mlifecycle; put it back or delete it "
            "in MLflow.",
        ) from None


def _tags(event: Event) -> dict[str, str]:
    """The event for machines, whole, and its facts for people and for MLflow's search."""
    return {
        f"{PREFIX}event": event.model_dump_json(),
        f"{PREFIX}kind": event.kind.value,
        f"{PREFIX}environment": event.environment.value,
        f"{PREFIX}at": event.at.isoformat(),
        **_version_tags(event),
    }


def _version_tags(event: Event) -> dict[str, str]:
    return {
        f"{PREFIX}release": event.release,
        f"{PREFIX}version": event.version,
        f"{PREFIX}run": event.run,
        f"{PREFIX}verdict": event.verdict,
        f"{PREFIX}metrics": json.dumps(event.metrics, sort_keys=True),
        **{f"{PREFIX}digest.{name}": value for name, value in sorted(event.digests.items())},
    }


def _log_metrics(client: MlflowClient, entry: str, event: Event) -> None:
    from mlflow.entities import Metric

    at = _milliseconds(event.at)
    if event.metrics:
        client.log_batch(
            entry, metrics=[Metric(key, value, at, 0) for key, value in event.metrics.items()]
        )


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)
