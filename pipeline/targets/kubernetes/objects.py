"""Kubernetes objects as data: what names one, and which of them are ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

Document = dict[str, Any]

MANAGED_BY = ("app.kubernetes.io/managed-by", "mlifecycle")
NAME_LABEL = "app.kubernetes.io/name"
MODEL_VERSION = "mlifecycle.io/version"
NAMESPACE = "Namespace"


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What names an object in a cluster. `namespace` is empty for one that lies in none."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Key:
        """The key of an object."""
        metadata = document["metadata"]
        return cls(
            document["apiVersion"],
            document["kind"],
            metadata.get("namespace") or "",
            metadata["name"],
        )

    @classmethod
    def read(cls, text: str) -> Key:
        """The inverse of `written`. Raises ValueError."""
        api_version, kind, namespace, name = text.split(" ")
        return cls(api_version, kind, namespace.strip("-"), name)

    @property
    def written(self) -> str:
        """As an inventory has it."""
        return f"{self.api_version} {self.kind} {self.namespace or '-'} {self.name}"

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def parse(data: bytes) -> list[Document]:
    """The objects of a rendered file, in its order."""
    return [document for document in yaml.safe_load_all(data) if document]


def keys(documents: Iterable[Mapping[str, Any]]) -> list[Key]:
    """The keys of objects, in their order."""
    return [Key.of(document) for document in documents]


def of_kind(documents: Iterable[Document], kind: str) -> list[Document]:
    """The objects of one kind."""
    return [document for document in documents if document["kind"] == kind]


def is_ours(live: Mapping[str, Any], name: str) -> bool:
    """Whether an object in a cluster carries the labels that our render gives to `name`'s."""
    labels = live.get("metadata", {}).get("labels") or {}
    label, value = MANAGED_BY
    return labels.get(label) == value and labels.get(NAME_LABEL) == name


def split(documents: Iterable[Document]) -> tuple[list[Document], list[Document]]:
    """Namespaces, and what lies in them."""
    found = list(documents)
    spaces = [document for document in found if document["kind"] == NAMESPACE]
    return spaces, [document for document in found if document["kind"] != NAMESPACE]
