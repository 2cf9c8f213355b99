"""Record the scanners' reports anew; see reports/README.md.

Every case runs the real program from the scanners' environment with the very Invocation that the
pipeline uses. Two vulnerability scanners need a service: theirs are faked on loopback.
"""

from __future__ import annotations

import asyncio
import dataclasses
import http.server
import json
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import planted_defects as planted

from pipeline.resources import folder
from pipeline.runtimes.host import Host
from pipeline.runtimes.interface import Invocation, Outcome
from pipeline.tools import bandit, detect_secrets, hadolint, pip_audit, safety, semgrep
from pipeline.tools.interface import Scanner

REPORTS = Path(__file__).parent / "reports"
RULES = folder("policies") / "semgrep"

OSV = {
    "jinja2": {
        "vulns": [
            {
                "schema_version": "1.6.0",
                "id": "GHSA-g3rq-g295-4j3m",
                "aliases": ["CVE-2020-28493", "PYSEC-2021-66"],
                "summary": "Regular Expression Denial of Service (ReDoS) in Jinja2",
                "affected": [
                    {
                        "package": {"name": "jinja2", "ecosystem": "PyPI"},
                        "ranges": [
                            {
                                "type": "ECOSYSTEM",
                                "events": [{"introduced": "0"}, {"fixed": "2.11.3"}],
                            }
                        ],
                    }
                ],
            }
        ]
    }
}
META = {"schema_version": "2.0.0", "timestamp": 1}
SAFETY = {
    "insecure.json": {"meta": META, "vulnerable_packages": {"jinja2": ["<2.11.3"]}},
    "insecure_full.json": {
        "meta": META
        | {
            "packages": {
                "jinja2": {
                    "insecure_versions": ["2.4.1"],
                    "secure_versions": ["2.11.3"],
                    "latest_secure_version": "2.11.3",
                    "latest_version": "2.11.3",
                    "more_info_path": "/jinja2",
                }
            }
        },
        "vulnerable_packages": {
            "jinja2": [
                {
                    "specs": ["<2.11.3"],
                    "ids": [
                        {"type": "cve", "id": "CVE-2020-28493"},
                        {"type": "pyup", "id": "39525"},
                    ],
                    "advisory": "Jinja2 before 2.11.3: ReDoS in the urlize filter.",
                    "transitive": False,
                    "more_info_path": "/vulnerabilities/CVE-2020-28493/39525",
                    "fixed_in": ["2.11.3"],
                }
            ]
        },
    },
}


class _Service(http.server.BaseHTTPRequestHandler):
    """Answers OSV's query, and the sign-in address that safety asks first."""

    def do_HEAD(self) -> None:
        self._answer({})

    def do_GET(self) -> None:
        here = f"http://127.0.0.1:{self.server.server_port}"
        self._answer({"jwks_uri": here, "authorization_endpoint": here, "keys": []})

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["content-length"])))
        known = OSV.get(query["package"]["name"], {})
        self._answer(known if query["version"].startswith("2.4") else {})

    def _answer(self, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def service() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def record(
    scanner: Scanner,
    case: str,
    inputs: dict[str, Path],
    change: Callable[[Invocation], Invocation] = lambda invocation: invocation,
) -> None:
    outcome, version = keep(scanner.name, case, change(scanner.invocation(inputs)))
    report = scanner.parse(outcome, version)
    print(f"{scanner.name}/{case}: {report.status} {report.reason} {len(report.findings)} findings")


def keep(
    tool: str, case: str, call: Invocation, replaced: Mapping[str, str] | None = None
) -> tuple[Outcome, str]:
    """Run the call and keep what came of it as a case of `tool`; that, and the version.

    `replaced` names what is another thing each time, and what to write in its place.
    """
    host = Host()
    outcome = asyncio.run(host.run(call))
    version = asyncio.run(host.version(call.command)) or ""
    document = {
        "version": version,
        "exit_code": outcome.exit_code,
        "stdout": outcome.stdout,
        "stderr": outcome.stderr,
        "files": {name: data.decode() for name, data in outcome.files.items()},
    }
    text = json.dumps(document, indent=1, ensure_ascii=False)
    text = text.replace(str(Path(sys.prefix).resolve()), "<environment>")
    text = re.sub(r"/[\w./-]*/mlifecycle-\w+", "<room>", text)
    text = re.sub(r"/[\w./-]+/lib/python3", "<python>/lib/python3", text)
    # Addresses in a tool's settings, which it repeats and which are no part of what it found.
    text = re.sub(r'(baseUrl\\*":\\*")https?://[^"\\]+', r"\1https://example.invalid/search", text)
    for found, instead_of_it in (replaced or {}).items():
        text = text.replace(found, instead_of_it)
    path = REPORTS / tool / f"{case}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
    return outcome, version


def plus(*arguments: str, **environment: str) -> Callable[[Invocation], Invocation]:
    return lambda invocation: dataclasses.replace(
        invocation,
        arguments=(*invocation.arguments, *arguments),
        environment={**invocation.environment, **environment},
    )


def instead(old: str, new: str) -> Callable[[Invocation], Invocation]:
    return lambda invocation: dataclasses.replace(
        invocation,
        arguments=tuple(new if argument == old else argument for argument in invocation.arguments),
    )


def main(folder: Path) -> None:
    bad, good = planted.bad_submission(folder / "bad"), planted.good_submission(folder / "good")
    broken = planted.write(folder / "broken", {"train.py": "def (:\n"})
    rules = planted.write(folder / "rules", {"wrong.yml": "rules: [{id: x, pattern: 1}]\n"})
    empty = folder / "empty"
    empty.mkdir()
    planted.write(folder, {"Bad": planted.BAD_DOCKERFILE, "Clean": planted.CLEAN_DOCKERFILE})
    planted.write(folder, {"Broken": "FRO python\n", "lock.txt": planted.LOCK})
    planted.write(folder, {"fixed.txt": planted.LOCK.replace("2.4.1", "3.1.6")})
    lock, fixed = ({"requirements.txt": folder / name} for name in ("lock.txt", "fixed.txt"))

    record(hadolint.SCANNER, "bad", {"Dockerfile": folder / "Bad"})
    record(hadolint.SCANNER, "clean", {"Dockerfile": folder / "Clean"})
    record(hadolint.SCANNER, "broken", {"Dockerfile": folder / "Broken"})
    record(hadolint.SCANNER, "missing", {})

    for name, inputs in {"bad": bad, "clean": good, "broken": broken, "nothing": empty}.items():
        record(bandit.SCANNER, name, {"submission": inputs})
        record(detect_secrets.SCANNER, name, {"submission": inputs})
        record(semgrep.SCANNER, name, {"submission": inputs, "rules": RULES})
    record(semgrep.SCANNER, "wrong-rules", {"submission": good, "rules": rules})

    record(pip_audit.SCANNER, "offline", lock)
    record(pip_audit.SCANNER, "offline-index", lock, instead("osv", "pypi"))
    record(safety.SCANNER, "offline", lock)
    for name, data in SAFETY.items():
        planted.write(folder / "db", {name: json.dumps(data)})
    with service() as url:
        record(pip_audit.SCANNER, "vulnerable", lock, plus("--osv-url", url))
        record(pip_audit.SCANNER, "clean", fixed, plus("--osv-url", url))
        change = plus("--db", str(folder / "db"), SAFETY_AUTH_SERVER_URL=url, HOME=str(folder))
        record(safety.SCANNER, "vulnerable", lock, change)
        record(safety.SCANNER, "clean", fixed, change)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="mlifecycle-") as room:
        main(Path(room))
