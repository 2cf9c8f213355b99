"""Bring an image that was built before into the cluster: the last stages of a deploy alone.

    bring.py MANIFEST IMAGE STATE [--kubeconfig FILE] [--timeout S] [--wait S] …

What comes before them takes a minute, and is the same whatever a cluster does. Objects are
rendered, the cluster is changed and asked by the pipeline's own code; the catalog is a file. Exit
codes, report and progress are those of `mlifecycle deploy`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from pipeline import digest, image_reference, runs
from pipeline import manifest as manifests
from pipeline.catalog.interface import Event, Kind, Serving, Version
from pipeline.cluster.rollout import ClusterRollout
from pipeline.cluster.work import Settings
from pipeline.environment import Environment
from pipeline.errors import MlifecycleError
from pipeline.line import Line
from pipeline.places.cluster import may_lack
from pipeline.places.host import HostPlace
from pipeline.policy.bundle import Bundle
from pipeline.record import Outcome
from pipeline.reports import terminal
from pipeline.resources import folder
from pipeline.stages import render
from pipeline.state import State
from pipeline.targets.kubernetes import lease
from pipeline.targets.kubernetes.cluster import Cluster
from pipeline.targets.kubernetes.journal import Records, Revision

INTERRUPTED = 130


class FileCatalog:
    """Every event that was told, a line each."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def register(self, event: Event) -> None:
        with self.path.open("a") as stream:
            stream.write(event.model_dump_json() + "\n")

    def history(
        self, name: str, namespace: str, environment: Environment | None = None
    ) -> list[Event]:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        events = [Event.model_validate_json(line) for line in lines]
        return [e for e in reversed(events) if (e.name, e.namespace) == (name, namespace)]

    def serving(self, name: str, namespace: str, environment: Environment) -> Serving | None:
        raise NotImplementedError

    def in_service(self, environment: Environment | None = None) -> list[Serving]:
        raise NotImplementedError

    def versions(self, name: str, namespace: str) -> list[Version]:
        raise NotImplementedError


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("manifest", type=Path)
    parser.add_argument("image")
    parser.add_argument("state", type=Path)
    parser.add_argument("--kubeconfig", type=Path)
    parser.add_argument("--timeout", type=float, default=120)
    parser.add_argument("--wait", type=float, default=120)
    parser.add_argument("--force-conflicts", action="store_true")
    parser.add_argument("--canary", type=int, default=0)
    parser.add_argument("--lacking-nothing", action="store_true")
    return parser.parse_args()


async def bring(given: argparse.Namespace) -> int:
    manifest = manifests.load(given.manifest)
    metadata, version = manifest.model.metadata, manifest.model.spec.model.version
    state = State(given.state.absolute())
    cluster = Cluster.connect(given.kubeconfig)
    catalog = FileCatalog(given.state / f"{metadata.namespace}.events")
    place = HostPlace()
    run = runs.start(
        state,
        command="deploy",
        manifest=given.manifest,
        environment=Environment.LOCAL,
        runtime=place.name,
        versions=place.versions(),
        manifest_digest=manifest.digest,
        model=f"{metadata.namespace}/{metadata.name}",
        version=version,
    )
    bundle = Bundle.load(folder("policies"), None, "extend")
    line = Line(
        Environment.LOCAL, manifest, bundle, state, place, catalog, run,
        terminal.Live(sys.stderr), given.wait,
    )  # fmt: skip
    report, objects = await render.run(line.open(render.NAME), manifest, given.image)
    line.require(report)
    image = image_reference.parse(given.image)
    assert image is not None
    model = digest.of_file(given.manifest.parent / "fraud-detector" / "model.pt2")
    event = Event(
        kind=Kind.DEPLOY,
        at=datetime.now(UTC),
        name=metadata.name,
        namespace=metadata.namespace,
        version=version,
        environment=Environment.LOCAL,
        release=model,
        run=run.record.id,
        verdict=manifest.digest,
        digests={"model": model, "image": image.digest},
        context=cluster.context,
    )
    settings = Settings(
        timeout=given.timeout,
        wait=given.wait,
        force=given.force_conflicts,
        may_lack=frozenset() if given.lacking_nothing else may_lack(line),
        canary=given.canary,
        watched=10.0,
    )
    records = Records(cluster, metadata.namespace, metadata.name)
    change = ClusterRollout(cluster, records, catalog, line.open, line.keep, settings)
    outcome = Outcome.FAILED
    try:
        served = await change.run(
            Revision(objects, manifest.data, event, given.image),
            manifest,
            None,
            lease.holder(run.record.id),
        )
        outcome = Outcome.PASSED if served else Outcome.DENIED
    finally:
        run.finish(outcome, None)
    print(terminal.summary(run.record, run.folder, sys.stdout), end="")
    return 0 if served else 1


def main() -> int:
    try:
        return asyncio.run(bring(arguments()))
    except MlifecycleError as error:
        print(terminal.error(error, sys.stderr), file=sys.stderr, end="")
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
