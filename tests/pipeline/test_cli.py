from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.commands import options

EXAMPLE = Path(__file__).parents[2] / "examples" / "valid" / "model-manifest.yaml"
COMMANDS = (
    *("validate", "govern", "lock", "build", "scan", "sbom", "render", "deploy"),
    *("status", "history", "rollback", "logs", "stop", "doctor"),
)


@pytest.fixture
def state(tmp_path: Path) -> list[str]:
    return ["--state", str(tmp_path / "state")]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([command, "--help"]) == options.YES
    assert f"mlifecycle {command}" in capsys.readouterr().out.split("Example", 1)[1]


def test_no_command_is_missing() -> None:
    assert set(cli.cli.commands) == set(COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [
        ["deplay"],
        ["deploy"],
        ["govern", "--manifest", str(EXAMPLE), "--environment", "production"],
        ["govern", "--manifest", str(EXAMPLE), "--output", "xml"],
        ["deploy", "--manifest", str(EXAMPLE), "--port", "0"],
        ["render", "--manifest", str(EXAMPLE)],
        ["render", "--manifest", str(EXAMPLE), "--image", "x@sha256:0", "--for", "openshift"],
        ["status", "--unknown"],
    ],
)
def test_usage_errors_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(arguments) == options.INVALID
    assert "Error" in capsys.readouterr().err


def test_a_valid_manifest_is_said_to_be_valid(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["validate", "--manifest", str(EXAMPLE), "--output", "json"]) == options.YES
    answer = json.loads(capsys.readouterr().out)
    assert answer["valid"] is True
    assert answer["digest"].startswith("sha256:")


def test_invalid_input_is_reported_whole_and_writes_nothing(
    tmp_path: Path, state: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "m.yaml"
    text = EXAMPLE.read_text().replace("accuracy: 0.", "accuracy: 7.").replace("team:", "taem:")
    manifest.write_text(text)
    arguments = ["govern", "--manifest", str(manifest), *state]
    assert cli.run(arguments) == options.INVALID
    said = capsys.readouterr().err
    assert "spec.metrics.accuracy" in said
    assert "metadata.labels" in said
    assert f"{manifest}:" in said
    assert not (tmp_path / "state").exists()

    assert cli.run([*arguments, "--output", "json"]) == options.INVALID
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["exit_code"] == options.INVALID
    assert {p["path"] for p in error["problems"]} >= {"spec.metrics.accuracy"}
    assert all(p["line"] and p["expected"] and p["remedy"] for p in error["problems"])


def test_a_missing_manifest_is_one_clear_error(
    tmp_path: Path, state: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["deploy", "--manifest", str(tmp_path / "none.yaml"), *state]) == options.INVALID
    assert "none.yaml" in capsys.readouterr().err


def test_a_yes_and_a_no_have_a_record_each(
    tmp_path: Path, state: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["govern", "--output", "json", *state]
    assert cli.run([*arguments, "--manifest", str(EXAMPLE)]) == options.YES
    record = json.loads(capsys.readouterr().out)
    assert record["outcome"] == "passed"

    manifest = tmp_path / "m.yaml"
    manifest.write_text(EXAMPLE.read_text().replace("framework: pytorch", "framework: tensorflow"))
    assert cli.run([*arguments, "--manifest", str(manifest)]) == options.NO
    record = json.loads(capsys.readouterr().out)
    assert record["outcome"] == "denied"
    violations = [v for stage in record["stages"] for v in stage["violations"]]
    assert [v["id"] for v in violations] == ["MG-FRM-001"]
    folder = Path(record["folder"])
    assert json.loads((folder / "record.json").read_text())["outcome"] == "denied"
    assert "MG-FRM-001" in (folder / "summary.md").read_text()


@pytest.mark.parametrize("command", ["history", "rollback", "logs", "stop"])
def test_an_unknown_name_is_invalid_input(
    command: str, state: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([command, "nobody", *state]) == options.INVALID
    assert "nobody" in capsys.readouterr().err


def test_status_of_nothing_is_no_error(
    state: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["status", "--output", "json", *state]) == options.YES
    assert json.loads(capsys.readouterr().out) == []


def test_an_interrupt_has_its_own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline import manifest

    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(manifest, "load", interrupted)
    assert cli.run(["validate", "--manifest", str(EXAMPLE)]) == options.INTERRUPTED


def test_a_state_folder_that_cannot_be_written_is_an_environment_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    arguments = ["govern", "--manifest", str(EXAMPLE), "--state", str(blocked / "state")]
    assert cli.run(arguments) == options.FAILED
    assert "Traceback" not in capsys.readouterr().err


def test_govern_does_not_import_what_it_does_not_need() -> None:
    """torch and mlflow cost seconds; a verdict must not pay them."""
    import subprocess
    import sys

    program = (
        "import sys; from pipeline import cli;"
        f"cli.run(['govern', '--manifest', {str(EXAMPLE)!r}, '--state', sys.argv[1]]);"
        "print([name for name in ('torch', 'mlflow', 'sqlalchemy') if name in sys.modules])"
    )
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", program, f"{folder}/state"],
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("place", ["cache", "runs", "deployments"])
def test_a_broken_state_folder_is_said_without_a_traceback(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / place).write_text("no folder")
    goal = "deploy" if place == "deployments" else "govern"
    arguments = [goal, "--manifest", str(EXAMPLE), "--state", str(tmp_path)]
    assert cli.run(arguments) == options.FAILED
    assert "error" in capsys.readouterr().err


def test_a_mistake_of_our_own_is_no_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, Python's own for an exception, means the pipeline's no."""
    from pipeline import manifest

    def mistaken(path: Path) -> None:
        raise ExceptionGroup("several", [ExceptionGroup("inner", [KeyError("lost")])])

    monkeypatch.setattr(manifest, "load", mistaken)
    arguments = ["validate", "--manifest", str(EXAMPLE), "--output", "json"]
    assert cli.run(arguments) == options.FAILED
    assert "KeyError" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_ones_own_policies_are_on_record(
    tmp_path: Path, state: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own rules"
    (own / "data").mkdir(parents=True)
    (own / "data" / "local.yaml").write_text("metrics: {accuracy: {minimum: 0.999}}\n")
    arguments = ["govern", "--manifest", str(EXAMPLE), "--policies", str(own), *state]
    assert cli.run([*arguments, "--output", "json"]) == options.NO
    record = json.loads(capsys.readouterr().out)
    assert (record["policies"], record["policies_mode"]) == (str(own), "extend")
    assert f"--policies '{own}'" in (Path(record["folder"]) / "summary.md").read_text()


@pytest.mark.parametrize(
    "stray", ["rules.REGO", "local.yaml", "data/local.json", "linked", "only_test.rego"]
)
def test_policies_that_would_not_be_read_are_refused(
    stray: str, tmp_path: Path, state: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own"
    (own / "data").mkdir(parents=True)
    if stray == "linked":
        (own / stray).symlink_to(tmp_path)
    else:
        (own / stray).write_text("package x\n")
    arguments = ["govern", "--manifest", str(EXAMPLE), "--policies", str(own), *state]
    assert cli.run(arguments) == options.INVALID
    assert str(own) in capsys.readouterr().err


IMAGE = "ghcr.io/acme-bank/fraud-detector:1.2.0@sha256:" + "0123456789abcdef" * 4


def test_an_image_to_render_must_have_a_digest(
    state: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["render", "--manifest", str(EXAMPLE), "--image", "ghcr.io/acme-bank/x:1"]
    assert cli.run([*arguments, *state]) == options.INVALID
    said = capsys.readouterr()
    assert "expected an image by digest" in said.err
    assert said.out == ""
    assert not (tmp_path / "state").exists()


def test_without_kustomize_nothing_is_rendered(
    state: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("MLIFECYCLE_TOOLS", raising=False)
    arguments = ["render", "--manifest", str(EXAMPLE), "--image", IMAGE]
    assert cli.run([*arguments, *state]) == options.FAILED
    said = capsys.readouterr()
    assert "kustomize is not installed" in said.err
    assert said.out == ""
