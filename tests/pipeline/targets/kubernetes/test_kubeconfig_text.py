"""A kubeconfig that is given as a text, and that no message quotes."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.errors import InvalidInput
from pipeline.targets.kubernetes.cluster import Cluster

TOKEN = "t0ken-of-somebody"  # noqa: S105 - of nobody


def kubeconfig(**user: Any) -> dict[str, Any]:
    cluster = {"server": "https://api.bank.internal:6443"}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user or {"token": TOKEN}}],
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "models"}},
            {"name": "there", "context": {"cluster": "c", "user": "u"}},
        ],
    }


def connect(
    document: Any, room: Path, context: str | None = None, way: str | None = None
) -> Cluster:
    text = document if isinstance(document, str) else yaml.safe_dump(document)
    return Cluster.of_text(text, context, way, room)


def refusal(document: Any, room: Path, context: str | None = None) -> str:
    with pytest.raises(InvalidInput) as refused:
        connect(document, room, context)
    assert TOKEN not in str(refused.value)
    return str(refused.value)


def test_it_is_the_current_context_or_the_one_that_is_named(tmp_path: Path) -> None:
    here = connect(kubeconfig(), tmp_path)
    assert (here.context, here.namespace) == ("here", "models")
    assert here.server == "https://api.bank.internal:6443"
    there = connect(kubeconfig(), tmp_path, "there")
    assert (there.context, there.namespace) == ("there", None)
    said = refusal(kubeconfig(), tmp_path, "elsewhere")
    assert "--context" in said
    assert "here, there" in said


def test_another_way_keeps_the_name_that_the_certificate_is_for(tmp_path: Path) -> None:
    cluster = connect(kubeconfig(), tmp_path, way="https://tunnel:6443")
    assert cluster.server == "https://tunnel:6443"
    assert cluster.client.configuration.tls_server_name == "api.bank.internal"
    named = kubeconfig()
    named["clusters"][0]["cluster"]["tls-server-name"] = "kubernetes"
    cluster = connect(named, tmp_path, way="https://tunnel:6443")
    assert cluster.client.configuration.tls_server_name == "kubernetes"


def test_certificates_are_written_into_the_room_alone(tmp_path: Path) -> None:
    document = kubeconfig()
    authority = base64.b64encode(b"an authority").decode()
    document["clusters"][0]["cluster"]["certificate-authority-data"] = authority
    cluster = connect(document, tmp_path / "room")
    written = Path(cluster.client.configuration.ssl_ca_cert)
    assert written.parent == tmp_path / "room"
    assert written.read_text() == "an authority"


def test_a_program_that_is_not_here_cannot_give_credentials(tmp_path: Path) -> None:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-aws"}
    said = refusal(kubeconfig(exec=plugin), tmp_path)
    assert "no-such-aws" in said
    assert "a token or a client certificate" in said


@pytest.mark.parametrize(
    "change",
    [
        {"contexts": None},
        {"contexts": "here"},
        {"contexts": [{"name": "here"}]},
        {"users": []},
        {"users": [{"name": "u"}]},
        {"clusters": []},
        {"clusters": [{"name": "c", "cluster": {"certificate-authority": "/no/such/file"}}]},
        {"current-context": "gone"},
        {"current-context": None},
        {"current-context": ["here"]},
    ],
)
def test_a_broken_one_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    assert "--" in refusal(kubeconfig() | change, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "[]",
        TOKEN,
        f"token: {TOKEN}: {TOKEN}",
        f'users: ["{TOKEN}',
        f"a: *{TOKEN}",
        f"!{TOKEN} a",
        f"a: &a [{TOKEN}, *b]",
        f"\t{TOKEN}",
    ],
)
def test_what_is_no_kubeconfig_is_refused_without_a_part_of_it(tmp_path: Path, text: str) -> None:
    assert "a kubeconfig that can be used" in refusal(text, tmp_path)
