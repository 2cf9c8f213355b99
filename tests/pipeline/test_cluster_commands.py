"""What the commands refuse of a cluster before anything is done."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from kubeconfigs import NOWHERE

from pipeline import cli

VALID = Path(__file__).parents[2] / "examples" / "valid" / "model-manifest.yaml"
IMAGE = "registry.internal:5000/models/fraud-detector@sha256:" + "0123456789abcdef" * 4


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    path = tmp_path / "kubeconfig"
    path.write_text(NOWHERE)
    return path


def deploy(tmp_path: Path, *options: str) -> int:
    state = str(tmp_path / "state")
    return cli.run(["deploy", "--manifest", str(VALID), "--state", state, *options])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--image", IMAGE], "--image goes with --target kubernetes"),
        (["--context", "x"], "--context goes with --target kubernetes"),
        (["--timeout", "9"], "--timeout goes with --target kubernetes"),
        (["--strategy", "canary"], "--strategy goes with --target kubernetes"),
        (["--target", "kubernetes"], "needs --image"),
        (["--target", "kubernetes", "--image", "model:1.2.0"], "an image by digest"),
        (["--target", "kubernetes", "--image", IMAGE, "--port", "80"], "--port goes with"),
        (
            ["--target", "kubernetes", "--runtime", "dagger", "--image", IMAGE],
            "goes with --runtime host",
        ),
        (["--target", "kubernetes", "--runtime", "dagger"], "needs --registry"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert deploy(tmp_path, *options) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("command", ["status", "history x", "rollback x", "logs x", "stop x"])
def test_a_namespace_goes_with_a_cluster(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    state = str(tmp_path / "state")
    assert cli.run([*command.split(), "--namespace", "risk", "--state", state]) == 2
    assert "--namespace goes with --target kubernetes" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "{}", "no: [yaml", "kind: Config\ncontexts: 3\n"])
def test_a_kubeconfig_that_cannot_be_used_is_named(
    tmp_path: Path, kubeconfig: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    kubeconfig.write_text(content)
    options = ["--target", "kubernetes", "--image", IMAGE, "--kubeconfig", str(kubeconfig)]
    assert deploy(tmp_path, *options) == 2
    said = capsys.readouterr().err
    assert "--kubeconfig" in said
    assert str(kubeconfig) in said


def test_another_context_is_answered_with_those_that_there_are(
    tmp_path: Path, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--target", "kubernetes", "--image", IMAGE, "--kubeconfig", str(kubeconfig)]
    assert deploy(tmp_path, *options, "--context", "elsewhere") == 2
    said = capsys.readouterr().err
    assert "elsewhere" in said
    assert "(here)" in said
    assert "t0ken" not in said


def test_a_model_that_wants_keys_is_not_deployed_without_one(
    tmp_path: Path,
    kubeconfig: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It could not be verified; the cluster, which is not there, is not even asked."""
    shutil.copytree(VALID.parent, tmp_path / "model")
    manifest = tmp_path / "model" / VALID.name
    text = manifest.read_text()
    guarded = "    replicas: 2\n    access: {keys_secret: callers}\n"
    assert text.count("    replicas: 2\n") == 1
    manifest.write_text(text.replace("    replicas: 2\n", guarded))
    monkeypatch.delenv("MLIFECYCLE_API_KEY", raising=False)
    options = ["--target", "kubernetes", "--image", IMAGE, "--kubeconfig", str(kubeconfig)]
    state = str(tmp_path / "state")
    command = ["deploy", "--manifest", str(manifest), "--state", state, *options]
    assert cli.run(command) == 2
    said = capsys.readouterr().err
    assert "MLIFECYCLE_API_KEY" in said
    assert "spec.inference.access" in said
