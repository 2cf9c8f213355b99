"""How the catalog lies in MLflow, and how an event gets there.

- Registered model `<namespace>.<name>` (neither part can hold a dot); one model version a release,
  tagged with all digests; an alias per environment on the version that serves.
- Tag `mlifecycle.<environment>` of the registered model: what serves there, whole, as JSON. One
  tag is one write, so a reader sees the old state or the new. It is what counts: the alias is for
  MLflow's own users, and moving it by hand moves no traffic.
- Experiment `mlifecycle/<namespace>/<name>`: a run for every event, with the event as JSON in a
  tag and its facts as tags and metrics. A run that is not FINISHED was cut short.

A command can be killed between any two calls. The event's run is made first, in one write with
all facts and with the run that it follows; the state is written last. Telling the event again
finds its run and does the rest. Whether the rest may still move the state is decided by who came
last, not by clocks: it may as long as the state is still the one that the event follows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.catalog.address import Address
from pipeline.catalog.interface import Event, Serving, Version
from pipeline.environment import Environment
from pipeline.errors import EnvironmentFailed

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel
    from mlflow.store.entities import PagedList

T = TypeVar("T")

PREFIX = "mlifecycle."
PAGE = 1000


class Listed(BaseModel):
    """What serves at one place. `settled` says that the alias there says the same."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    serving: Serving
    settled: bool


class _Current(BaseModel):
    """The tag `mlifecycle.<environment>`: the last event's MLflow run, and what it left."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    event: str
    number: str
    serving: Serving | None


def serving(
    client: MlflowClient, name: str, namespace: str, environment: Environment
) -> Serving | None:
    """What serves one model at one place."""
    model = _model(client, f"{namespace}.{name}")
    current = _current(model, environment) if model else None
    return current.serving if current else None


def listing(client: MlflowClient) -> list[Listed]:
    """What serves anywhere, sorted by environment, namespace and name."""
    found = []
    for model in _all(
        lambda token: client.search_registered_models(max_results=PAGE, page_token=token)
    ):
        for environment in Environment:
            current = _current(model, environment)
            if current and current.serving:
                settled = _settled(model, environment, current)
                found.append(Listed(serving=current.serving, settled=settled))
    order = list(Environment)
    return sorted(
        found,
        key=lambda f: (order.index(f.serving.environment), f.serving.namespace, f.serving.name),
    )


def events(client: MlflowClient, name: str, namespace: str) -> list[Event]:
    """Every event of a model, newest first."""
    experiment = client.get_experiment_by_name(_experiment_name(namespace, name))
    if experiment is None:
        return []
    found: dict[str, Event] = {}
    ids = [experiment.experiment_id]
    for run in _all(lambda token: client.search_runs(ids, max_results=PAGE, page_token=token)):
        text = run.data.tags.get(f"{PREFIX}event")
        if text is not None:  # else it is somebody's own run in our experiment
            event = _event(text, run.info.run_id)
            found[name_of(event)] = event
    return sorted(found.values(), key=lambda event: event.at, reverse=True)


def versions(client: MlflowClient, name: str, namespace: str) -> list[Version]:
    """Every release of a model that was registered, newest first."""
    first: dict[str, Version] = {}
    query = f"name = '{namespace}.{name}'"
    for item in _all(
        lambda token: client.search_model_versions(query, max_results=PAGE, page_token=token)
    ):
        version = _version(item)
        if version is None:
            continue
        known = first.setdefault(version.release, version)
        if version.number < known.number:
            first[version.release] = version
    return sorted(first.values(), key=lambda version: -version.number)


def name_of(event: Event) -> str:
    """What makes an event the same event."""
    return f"{event.namespace}/{event.name} {event.run} {event.kind}"


def record(client: MlflowClient, address: Address, event: Event) -> None:
    """Enter an event, or complete what is missing of it. Writes nothing when nothing is."""
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

    if not finished:
        client.set_terminated(entry_id, "FINISHED", end_time=_milliseconds(datetime.now(UTC)))
    # An empty state beside a finished event means that the registered model was deleted.
    if last in (entry_id, entry.data.tags.get(f"{PREFIX}follows", "")) or not last:
        result = _Current(event=entry_id, number=number, serving=event.serving)
        _place(client, model, event.environment, result)


def _place(
    client: MlflowClient, model: RegisteredModel, environment: Environment, result: _Current
) -> None:
    """Move the alias and, as the last write of all, the state; each only if it is not there yet."""
    if not _settled(model, environment, result):
        if result.serving is None:
            client.delete_registered_model_alias(model.name, environment.value)
        else:
            client.set_registered_model_alias(model.name, environment.value, result.number)
    if _current(model, environment) != result:
        client.set_registered_model_tag(
            model.name, f"{PREFIX}{environment}", result.model_dump_json()
        )


def _settled(model: RegisteredModel, environment: Environment, current: _Current) -> bool:
    """Whether the alias says the same as the state."""
    at = model.aliases.get(environment.value)
    return at is None if current.serving is None else str(at) == current.number


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
    name = f"{event.namespace}.{event.name}"
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


def _model_version(client: MlflowClient, event: Event, entry: str) -> str:
    """The number of the release's one model version, made if it is not there yet."""
    name = f"{event.namespace}.{event.name}"
    found = client.search_model_versions(
        f"name = '{name}' and tags.`{PREFIX}release` = '{event.release}'", max_results=PAGE
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
        max_results=PAGE,
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


def _all(page: Callable[[str | None], PagedList[T]]) -> Iterator[T]:
    """Every item of a search, page after page."""
    token: str | None = None
    while True:
        found = page(token)
        yield from found
        token = found.token
        if not token:
            return


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
