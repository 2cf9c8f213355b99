"""How processes that outlive a command are started: with little inherited."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipeline.errors import EnvironmentFailed

# What a server may see of its starter's environment. Anything else, credentials first, stays out.
PASSED_ON = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR"),
    *("LC_ALL", "LC_CTYPE", "LC_MESSAGES", "LC_NUMERIC", "LC_TIME"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
)


def environment(**more: str) -> dict[str, str]:
    """The variables of PASSED_ON that are set, what keeps a release unwritten, and `more`."""
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return passed | {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", **more}


def code() -> str:
    """A digest of the supervisor's own sources: a newer command must not talk to an older one."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def supervisor(folder: Path, host: str, port: int) -> None:
    """Start the supervisor of the deployment in `folder`; return once it answers.

    One that already lives is left as it is. Raises EnvironmentFailed when it cannot start.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    package = Path(__file__).parents[2]
    process = subprocess.Popen(
        [
            *(sys.executable, "-P", "-m", "pipeline.targets.supervisor"),
            *("--folder", str(folder), "--host", host, "--port", str(port)),
        ],
        cwd=folder,
        env=environment(PYTHONPATH=str(package)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    # The process divides itself: ours ends at once, and its child, the supervisor, closes both
    # pipes when it has told how its start went.
    said, complaint = process.communicate()
    try:
        answer: dict[str, Any] = json.loads(said)
    except ValueError:
        last = complaint.decode(errors="replace").strip().splitlines()[-1:]
        raise EnvironmentFailed(
            f"The supervisor did not start: {''.join(last) or 'it said nothing'}.",
            f"Its log is {folder / 'logs' / 'supervisor.log'}.",
        ) from None
    if not answer["ok"]:
        raise EnvironmentFailed(answer["error"], answer.get("remedy", ""))
