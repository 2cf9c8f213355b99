"""Record syft's reports anew: `python tests/pipeline/tools/record_syft.py`.

Two environments, unpacked from wheels made on the spot: one with alpha, beta and a package that
carries another one inside; one with nothing.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from zipfile import ZipFile

import anyio

sys.path.append(str(Path(__file__).parents[1]))

from wheels import make_wheel

from pipeline.runtimes.host import Host
from pipeline.tools import syft

REPORTS = Path(__file__).parent / "reports" / "syft"
VENDORED = "carrier/_vendor/inner-0.5.dist-info"


def main(folder: Path) -> None:
    site = folder / "environment" / "lib" / "python3.11" / "site-packages"
    wheels = [
        make_wheel(folder, "alpha", "1.0", ["beta>=1"]),
        make_wheel(folder, "beta", "1.5"),
        make_wheel(
            folder, "carrier", "3.0",
            files={
                f"{VENDORED}/METADATA": "Metadata-Version: 2.1\nName: inner\nVersion: 0.5\n",
                f"{VENDORED}/RECORD": "",
            },
        ),
    ]  # fmt: skip
    for wheel in wheels:
        with ZipFile(wheel) as archive:
            archive.extractall(site)
    (folder / "nothing").mkdir()
    for name, environment in (
        ("packages", folder / "environment"),
        ("nothing", folder / "nothing"),
    ):
        anyio.run(record, name, environment)


async def record(name: str, environment: Path) -> None:
    host = Host()
    outcome = await host.run(syft.invocation(environment))
    document = {
        "version": await host.version(syft.NAME),
        "exit_code": outcome.exit_code,
        "stdout": outcome.stdout,
        "stderr": outcome.stderr,
        "files": {file: data.decode() for file, data in outcome.files.items()},
    }
    REPORTS.mkdir(parents=True, exist_ok=True)
    (REPORTS / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as room:
        main(Path(room))
