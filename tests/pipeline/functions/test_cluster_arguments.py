"""What a deploy is told of a cluster, and what of it makes no sense."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from kubeconfigs import NOWHERE

from pipeline.errors import InvalidInput
from pipeline.functions.arguments import Strategy
from pipeline.functions.cluster import ToCluster
from pipeline.places.cluster import ClusterPlace
from pipeline.places.containers.databases import Databases
from pipeline.places.containers.place import ContainerPlace, Registry
from pipeline.runtimes.containers import Containers, Upload
from pipeline.tools import images


class Secret:
    """As the engine's, with its text here."""

    def __init__(self, text: str = NOWHERE) -> None:
        self._text = text

    async def plaintext(self) -> str:
        return self._text


def told(**changes: Any) -> ToCluster:
    given: dict[str, Any] = {
        "kubeconfig": cast(Any, Secret()),
        "api_key": None,
        "context": None,
        "api_server": None,
        "strategy": Strategy.ROLLING,
        "canary_pods": 1,
        "canary_seconds": 30.0,
        "timeout": 600.0,
        "force_conflicts": False,
    }
    return ToCluster(**given | changes)


def place(registry: str | None) -> ContainerPlace:
    runtime = Containers(images.PINNED, Upload(module=False))
    return ContainerPlace(
        runtime, Databases(runtime), None, Registry(registry) if registry else None
    )


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"context": "here"}, "--context"),
        ({"api_key": Secret()}, "--api-key"),
        ({"api_server": object()}, "--api-server"),
        ({"strategy": Strategy.CANARY}, "--strategy"),
        ({"force_conflicts": True}, "--force-conflicts"),
        ({"timeout": 90.0}, "--timeout"),
    ],
)
def test_nothing_is_told_of_a_cluster_that_is_not_named(change: dict[str, Any], flag: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        told(kubeconfig=None, **change).check()
    assert refused.value.problems[0].file == flag
    told(**change).check()


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"canary_pods": 0}, "--canary-pods"),
        ({"canary_seconds": 4.9}, "--canary-seconds"),
        ({"canary_seconds": 3601}, "--canary-seconds"),
        ({"canary_seconds": float("nan")}, "--canary-seconds"),
        ({"timeout": 0}, "--timeout"),
        ({"timeout": float("nan")}, "--timeout"),
    ],
)
def test_numbers_are_bounded(change: dict[str, Any], flag: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        told(strategy=Strategy.CANARY, **change).check()
    assert refused.value.problems[0].file == flag


@pytest.mark.parametrize("change", [{"canary_pods": 2}, {"canary_seconds": 60.0}])
def test_a_canary_is_asked_for(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="--strategy CANARY"):
        told(**change).check()
    told(strategy=Strategy.CANARY, **change).check()


@pytest.mark.parametrize(
    ("text", "key"), [("mlk_a.b", "mlk_a.b"), ("mlk_a\n", "mlk_a"), ("", None), (" \n", None)]
)
def test_a_key_is_taken_without_the_line_s_end(text: str, key: str | None) -> None:
    around = anyio.run(told(api_key=Secret(text)).around, place("registry.internal/models"))
    assert isinstance(around, ClusterPlace)
    assert around.settings.key == key
    assert "mlk" not in repr(around.settings)


@pytest.mark.parametrize("text", ["a b", "a\r\nX-Other: b", "schlüssel", "a\x00"])
def test_what_is_no_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        anyio.run(told(api_key=Secret(text)).around, place("registry.internal/models"))
    assert text not in str(refused.value)


def test_without_a_cluster_the_place_stays_what_it_is() -> None:
    before = place(None)
    assert anyio.run(told(kubeconfig=None).around, before) is before


def test_a_cluster_pulls_from_a_registry() -> None:
    with pytest.raises(InvalidInput, match="a repository that the cluster pulls from"):
        anyio.run(told().around, place(None))


def test_the_arguments_become_the_settings_of_the_change() -> None:
    around = anyio.run(
        told(strategy=Strategy.CANARY, canary_pods=2, canary_seconds=60, timeout=90).around,
        place("registry.internal/models"),
    )
    assert isinstance(around, ClusterPlace)
    assert around.cluster.context == "here"
    assert (around.settings.canary, around.settings.watched) == (2, 60)
    assert around.settings.timeout == 90
    rolling = anyio.run(told(force_conflicts=True).around, place("registry.internal/models"))
    assert isinstance(rolling, ClusterPlace)
    assert (rolling.settings.canary, rolling.settings.force) == (0, True)


def test_the_command_that_does_it_again_has_no_secret(tmp_path: Path) -> None:
    assert told(kubeconfig=None).words == []
    assert told(context="here", force_conflicts=True).words == [
        *("--kubeconfig", "KUBECONFIG", "--context", "here", "--force-conflicts"),
    ]
    assert told(timeout=90.0).words[2:] == ["--timeout", "90"]
    words = told(strategy=Strategy.CANARY, api_server=object()).words
    assert words[2:4] == ["--api-server", "API-SERVER"]
    assert words[4:] == ["--strategy", "CANARY", "--canary-pods", "1", "--canary-seconds", "30"]
