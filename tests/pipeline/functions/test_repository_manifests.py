"""A manifest of a repository is found however it is spelled: none escapes the check."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.functions.running import _manifests_below


@pytest.mark.parametrize(
    "text",
    [
        "kind: ModelDeployment\n",
        '"kind": ModelDeployment\n',
        "kind:   !!str   ModelDeployment\n",
        "\ufeffkind: 'ModelDeployment'\n",
        "{kind: ModelDeployment}",
        "kind: ModelDeployment\n" + "#" * 2**20,
    ],
)
def test_every_spelling_is_found(text: str, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    place = tmp_path / "a" / "m.YAML"
    place.write_text(text)
    assert _manifests_below(tmp_path) == [place]


@pytest.mark.parametrize("text", ["kind: Deployment\n", "# kind is no ModelDeployment\n", ""])
def test_other_files_are_left_alone(text: str, tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(text)
    assert _manifests_below(tmp_path) == []
