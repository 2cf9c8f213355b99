from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from pipeline.runtimes import host
from pipeline.runtimes.host import Host
from pipeline.runtimes.interface import Invocation, Outcome, ToolNotFound

Write = Callable[[str, str], Path]


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    folder = tmp_path / "tools"
    folder.mkdir()
    return folder


@pytest.fixture
def script(tools: Path) -> Write:
    """Write a Python program into the tools folder."""

    def write(name: str, body: str) -> Path:
        path = tools / name
        path.write_text(f"#!{sys.executable}\n{body}\n")
        path.chmod(0o755)
        return path

    return write


@pytest.fixture
def runtime(tools: Path) -> Host:
    return Host({**os.environ, "MLIFECYCLE_TOOLS": str(tools)})


def run(runtime: Host, **fields: object) -> Outcome:
    call = Invocation(tool="probe", command="probe", **fields)  # type: ignore[arg-type]
    return anyio.run(runtime.run, call)


def alive(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return state.returncode == 0 and not state.stdout.startswith("Z")


def test_gives_back_exit_code_output_and_files(runtime: Host, script: Write) -> None:
    script("probe", "import sys; print('out'); print('err', file=sys.stderr)\n"
                    "open('reports/r.json', 'w').write('{}'); sys.exit(3)")  # fmt: skip
    outcome = run(runtime, outputs=("reports/r.json", "absent.json"))
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (3, "out\n", "err")
    assert outcome.files == {"reports/r.json": b"{}"}
    assert not outcome.timed_out


@pytest.mark.parametrize("limit", [0, host.COPY_LIMIT])
def test_inputs_read_the_same_copied_or_linked(
    runtime: Host, script: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(host, "COPY_LIMIT", limit)
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "a.txt").write_text("a")
    (tmp_path / "one.txt").write_text("one")
    script("probe", "print(open('in/tree/deep/a.txt').read() + open('in/one').read())")
    outcome = run(runtime, inputs={"in/tree": source, "in/one": tmp_path / "one.txt"})
    assert outcome.stdout == "aone\n", outcome.stderr


def test_a_copied_input_cannot_be_changed(runtime: Host, script: Write, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("one")
    script("probe", "open('one', 'w').write('two')")
    assert run(runtime, inputs={"one": tmp_path / "one.txt"}).exit_code == 0
    assert (tmp_path / "one.txt").read_text() == "one"


def test_pipes_and_sockets_are_not_laid_out(runtime: Host, script: Write, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    os.mkfifo(source / "pipe")
    (source / "file").write_text("")
    script("probe", "import os; print(os.listdir('in'))")
    assert run(runtime, inputs={"in": source}).stdout == "['file']\n"


def test_the_working_folder_is_removed(runtime: Host, script: Write) -> None:
    script("probe", "import os; print(os.getcwd())")
    assert not Path(run(runtime).stdout.strip()).parent.exists()


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/../../b", ""])
def test_a_name_outside_the_working_folder_is_refused(
    runtime: Host, script: Write, name: str
) -> None:
    script("probe", "")
    with pytest.raises(ValueError, match="working folder"):
        run(runtime, outputs=(name,))


def test_an_output_that_links_out_is_refused(runtime: Host, script: Write, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    script("probe", f"import os; os.symlink({str(secret)!r}, 'report')")
    outcome = run(runtime, outputs=("report",))
    assert outcome.files == {}
    assert "links out" in outcome.stderr


def test_an_oversized_output_is_refused(
    runtime: Host, script: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "OUTPUT_LIMIT", 1000)
    script("probe", "open('report', 'w').write('x' * 1001)")
    outcome = run(runtime, outputs=("report",))
    assert outcome.files == {}
    assert "larger than" in outcome.stderr


def test_a_flood_is_cut_and_ended(
    runtime: Host, script: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "OUTPUT_LIMIT", 1000)
    script("probe", "while True: print('x' * 100)")
    outcome = run(runtime, timeout=60)
    assert len(outcome.stdout) == 1000
    assert outcome.exit_code < 0
    assert not outcome.timed_out
    assert "wrote more than" in outcome.stderr


CHILD = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print(child.pid, flush=True)\n"
)


def test_a_timeout_ends_the_whole_group(runtime: Host, script: Write) -> None:
    script("probe", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
           + CHILD + "time.sleep(600)")  # fmt: skip
    outcome = run(runtime, timeout=1.5)
    assert outcome.timed_out
    assert outcome.exit_code == -9
    assert not alive(int(outcome.stdout))


def test_a_descendant_left_behind_is_ended(runtime: Host, script: Write) -> None:
    script("probe", CHILD)
    outcome = run(runtime)
    assert outcome.exit_code == 0
    assert not alive(int(outcome.stdout))


def test_cancelling_ends_the_process_and_cleans_up(
    runtime: Host, script: Write, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    script("probe", f"import os, time\nopen({str(note)!r} + '.new', 'w').write("
           f"f'{{os.getpid()}} {{os.getcwd()}}')\n"
           f"os.rename({str(note)!r} + '.new', {str(note)!r})\ntime.sleep(600)")  # fmt: skip

    async def start_and_cancel() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(runtime.run, Invocation(tool="probe", command="probe"))
            while not note.exists():  # noqa: ASYNC110 - another process makes it
                await anyio.sleep(0.01)
            group.cancel_scope.cancel()

    anyio.run(start_and_cancel)
    pid, work = note.read_text().split()
    assert not Path(work).exists()
    assert not alive(int(pid))


def test_the_environment_is_clean(tools: Path, script: Write) -> None:
    script("probe", "import json, os; print(json.dumps(dict(os.environ)))")
    given = {
        "PATH": os.environ["PATH"], "MLIFECYCLE_TOOLS": str(tools), "HOME": "/home/someone",
        "AWS_SECRET_ACCESS_KEY": "k", "LANG": "C", "SSL_CERT_FILE": "/c.pem",
        "https_proxy": "http://p", "UV_INDEX_URL": "https://i", "PYTHONPATH": "/p",
    }  # fmt: skip
    seen = json.loads(run(Host(given), environment={"EXTRA": "1"}).stdout)
    assert not {"AWS_SECRET_ACCESS_KEY", "https_proxy", "UV_INDEX_URL", "PYTHONPATH"} & seen.keys()
    assert seen["SSL_CERT_FILE"] == "/c.pem"
    assert seen["EXTRA"] == "1"
    assert seen["HOME"] != "/home/someone"
    assert seen["TMPDIR"].startswith(seen["HOME"].removesuffix("home"))

    online = json.loads(run(Host(given), network=True).stdout)
    assert online["https_proxy"] == "http://p"
    assert online["UV_INDEX_URL"] == "https://i"
    assert online["HOME"] == "/home/someone"
    assert "AWS_SECRET_ACCESS_KEY" not in online


def test_an_absent_tool_is_named(runtime: Host) -> None:
    call = Invocation(tool="nothing", command="no-such-program")
    with pytest.raises(ToolNotFound, match="nothing is not installed"):
        anyio.run(runtime.run, call)
    assert anyio.run(runtime.version, "no-such-program") is None


def test_a_program_that_cannot_start_is_an_outcome(runtime: Host, tools: Path) -> None:
    (tools / "probe").write_bytes(b"\x7fELF nonsense")
    (tools / "probe").chmod(0o755)
    outcome = run(runtime)
    assert outcome.exit_code == 126
    assert "probe" in outcome.stderr


def test_the_tools_variable_comes_first(runtime: Host, script: Write, tools: Path) -> None:
    script("uv", "print('uv 99.1.2 (test)')")
    assert runtime.find("uv") == tools / "uv"
    assert anyio.run(runtime.version, "uv") == "99.1.2"


def test_the_version_comes_from_the_wheel(tmp_path: Path) -> None:
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    info = site / "some_tool_bin-4.5.6.dist-info"
    info.mkdir(parents=True)
    (info / "RECORD").write_text("x/__init__.py,,\n../../../bin/some-tool,sha256=x,1\n")
    program = tmp_path / "bin" / "some-tool"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    runtime = Host({"MLIFECYCLE_TOOLS": str(program.parent)})
    assert anyio.run(runtime.version, "some-tool") == "4.5.6"


def test_a_program_without_a_version_says_so(runtime: Host, script: Write) -> None:
    script("probe", "print('no number here')")
    assert anyio.run(runtime.version, "probe") is None
