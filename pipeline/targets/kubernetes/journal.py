"""What a deployment has on record in its cluster: what serves, what served, what is under way.

Two kinds of ConfigMaps beside the model's own objects. `mlifecycle-NAME` is the journal. It is
written before anything is changed and after everything is, so that whoever comes next, from any
machine, knows what a command that was cut short left. `mlifecycle-NAME-ID` is a revision: objects
as they were rendered, the manifest that says how they are verified, and the catalog's entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from pipeline import digest
from pipeline.catalog.interface import Event
from pipeline.errors import EnvironmentFailed
from pipeline.targets.kubernetes.cluster import Cluster
from pipeline.targets.kubernetes.objects import MANAGED_BY, NAME_LABEL, Document, Key, keys, parse

JOURNAL = "journal.json"
ROLE = "mlifecycle.io/role"
KEPT = 5  # revisions, the one that serves among them


class Change(BaseModel):
    """A change under way, or one that was cut short.

    `inventory` lists every object that it may have made. `doing` is the phase in words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    by: str
    version: str
    revision: str
    since: AwareDatetime
    doing: str
    inventory: tuple[str, ...]
    made_namespace: bool = False


class Journal(BaseModel):
    """`serving` names the revision that should serve; None while nothing should.

    `revisions` are those that a rollback can return to, the newest first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = Field(default=1, le=1, ge=1)
    serving: str | None = None
    since: AwareDatetime | None = None
    revisions: tuple[str, ...] = ()
    inventory: tuple[str, ...] = ()
    change: Change | None = None

    @property
    def keys(self) -> list[Key]:
        """The objects that are there for what serves."""
        return [Key.read(text) for text in self.inventory]

    def settled(self, revision: str, objects: list[Document], at: datetime) -> Journal:
        """The journal once `revision` serves."""
        former = () if self.serving in (None, revision) else (self.serving,)
        rest = tuple(r for r in self.revisions if r not in (revision, self.serving))
        returned = revision in self.revisions
        return Journal(
            serving=revision,
            since=at,
            # One returns to what served before, and from there further back, not to and fro.
            revisions=self.revisions if returned else (revision, *former, *rest)[:KEPT],
            inventory=tuple(key.written for key in keys(objects)),
        )

    def before(self) -> str | None:
        """The revision to return to by default."""
        if self.serving is None or self.serving not in self.revisions:
            return self.revisions[0] if self.revisions else None
        later = self.revisions[self.revisions.index(self.serving) + 1 :]
        return later[0] if later else None


@dataclass(frozen=True, slots=True)
class Revision:
    """One release as it was deployed. `image` is its reference by digest."""

    objects: bytes
    manifest: bytes
    event: Event
    image: str

    @property
    def id(self) -> str:
        """What names it, in the journal and in its ConfigMap's name."""
        return digest.of_bytes(self.objects + self.manifest).removeprefix("sha256:")[:12]

    @property
    def documents(self) -> list[Document]:
        """Its objects."""
        return parse(self.objects)


@dataclass(frozen=True, slots=True)
class Records:
    """The ConfigMaps of one deployment."""

    cluster: Cluster
    namespace: str
    name: str

    async def read(self) -> Journal:
        """The journal; an empty one where nothing was deployed yet. Raises EnvironmentFailed."""
        found = await self.cluster.find(self._key())
        return Journal() if found is None else journal_of(found)

    async def write(self, journal: Journal) -> None:
        """Replace the journal."""
        await self._put(self._key(), {JOURNAL: journal.model_dump_json(indent=1)}, "journal")

    async def clear(self) -> None:
        """Remove the journal and every revision."""
        selector = f"{ROLE} in (journal, revision),{NAME_LABEL}={self.name}"
        for found in await self.cluster.listed(self._list(), selector):
            await self.cluster.delete(f"{self._list()}/{found['metadata']['name']}")

    async def keep(self, revision: Revision) -> None:
        """Store a revision."""
        data = {
            "objects.yaml": revision.objects.decode(),
            "manifest.yaml": revision.manifest.decode(),
            "event.json": revision.event.model_dump_json(indent=1),
            "image": revision.image,
        }
        await self._put(self._key(revision.id), data, "revision")

    async def revision(self, name: str) -> Revision:
        """A stored revision. Raises EnvironmentFailed when it is gone or was changed."""
        key = self._key(name)
        found = await self.cluster.find(key)
        try:
            data = (found or {})["data"]
            revision = Revision(
                data["objects.yaml"].encode(),
                data["manifest.yaml"].encode(),
                Event.model_validate_json(data["event.json"]),
                data["image"],
            )
            if revision.id != name:
                raise ValueError("it was changed")
        except (KeyError, AttributeError, ValueError) as error:
            raise EnvironmentFailed(
                f"The revision in ConfigMap {self.namespace}/{key.name} cannot be read: "
                f"{'it is not there' if found is None else error}.",
                "Deploy again from the manifest.",
            ) from None
        return revision

    async def prune(self, journal: Journal) -> None:
        """Remove the revisions that nothing returns to."""
        selector = f"{ROLE}=revision,{NAME_LABEL}={self.name}"
        wanted = {self._key(name).name for name in journal.revisions}
        for found in await self.cluster.listed(self._list(), selector):
            if (name := found["metadata"]["name"]) not in wanted:
                await self.cluster.delete(f"{self._list()}/{name}")

    def _list(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/configmaps"

    def _key(self, revision: str = "") -> Key:
        name = f"mlifecycle-{self.name}" + (f"-{revision}" if revision else "")
        return Key("v1", "ConfigMap", self.namespace, name)

    async def _put(self, key: Key, data: dict[str, Any], role: str) -> None:
        label, ours = MANAGED_BY
        document = {
            "apiVersion": key.api_version,
            "kind": key.kind,
            "metadata": {
                "name": key.name,
                "namespace": key.namespace,
                "labels": {label: ours, NAME_LABEL: self.name, ROLE: role},
            },
            "data": data,
        }
        await self.cluster.apply(document, force=True)


def journal_of(found: Document) -> Journal:
    """The journal in a ConfigMap. Raises EnvironmentFailed when it is none."""
    try:
        return Journal.model_validate_json(found["data"][JOURNAL])
    except (KeyError, TypeError, ValidationError):
        metadata = found["metadata"]
        raise EnvironmentFailed(
            f"ConfigMap {metadata['namespace']}/{metadata['name']} cannot be read as a journal.",
            "It was changed by hand or by another release of mlifecycle: put it back, or delete "
            "it with the model's objects and deploy again.",
        ) from None
