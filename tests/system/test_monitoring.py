"""What a manifest's monitoring becomes, by Prometheus itself: rules, and a dashboard's queries."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "serving"))
sys.path.append(str(Path(__file__).parents[1] / "pipeline" / "tools"))

from image_inputs import PROGRAMS
from live import Live, live
from served_example import EXAMPLES, RELEASE, settings_of

from pipeline import manifest as manifests
from pipeline.kubernetes import alerts, dashboard
from pipeline.manifest import ModelDeployment
from pipeline.reference import drift_settings
from serving import model, settings
from serving.app import create_app
from serving.lanes.interface import Lane, Rows

MANIFEST = EXAMPLES / "model-manifest.yaml"
LABELS = {"namespace": "payments-risk", "service": "fraud-detector"}
SELECTOR = ",".join(f'{name}="{value}"' for name, value in LABELS.items())
BROKEN = 9999.0  # of the first feature: the model fails on it

pytestmark = pytest.mark.alone


class Breaking:
    """The example's model, which fails on some rows."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.name = lane.name

    def predict(self, rows: Rows) -> Rows:
        if (rows[:, 0] == BROKEN).any():
            raise ValueError("a row that it cannot take")
        return self.lane.predict(rows)


@pytest.fixture(scope="module", autouse=True)
def _programs() -> None:
    if absent := [n for n in ("prometheus", "promtool") if not (PROGRAMS / n).is_file()]:
        pytest.fail(
            f"There is no {', '.join(absent)} in {PROGRAMS}. Run "
            "tests/system/tools/debian.sh prometheus.",
            pytrace=False,
        )


@pytest.fixture(scope="module")
def example() -> ModelDeployment:
    return manifests.load(MANIFEST).model


@pytest.fixture(scope="module")
def rules(example: ModelDeployment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rules as the PrometheusRule has them, in a file that Prometheus takes."""
    file = tmp_path_factory.mktemp("rules") / "rules.yaml"
    file.write_text(json.dumps({"groups": alerts.groups(example)}))
    return file


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The server with the example's model."""
    manifest = manifests.load(MANIFEST)
    data = (EXAMPLES / "fraud-detector" / "model.pt2").read_bytes()
    folder = tmp_path_factory.mktemp("release")
    (folder / "model").mkdir()
    (folder / "model" / "model.pt2").write_bytes(data)
    document = settings_of(yaml.safe_load(MANIFEST.read_text()), data)
    document["drift"] = drift_settings(manifest)
    (folder / "settings.json").write_text(json.dumps(document))
    release = settings.load(folder, RELEASE)
    with live(create_app(release, Breaking(model.load(release)))) as found:
        yield found


class Prometheus:
    """A real one, asked over its API."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str, **arguments: str) -> Any:
        query = urllib.parse.urlencode(arguments)
        with urllib.request.urlopen(f"{self.address}{path}?{query}", timeout=30) as reply:
            return json.load(reply)["data"]

    def values(self, query: str) -> list[float]:
        """The numbers that a query has now; what is no number is left out."""
        found = [
            float(each["value"][1]) for each in self.get("/api/v1/query", query=query)["result"]
        ]
        return [value for value in found if value == value]

    def firing(self) -> dict[str, dict[str, Any]]:
        told = self.get("/api/v1/alerts")["alerts"]
        return {each["labels"]["alertname"]: each for each in told if each["state"] == "firing"}


@pytest.fixture(scope="module")
def prometheus(
    running: Live, rules: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """Looks at the server every second, as it would every thirty, with the rendered rules."""
    folder = tmp_path_factory.mktemp("prometheus")
    target = {"targets": [f"127.0.0.1:{running.port}"], "labels": LABELS}
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [{"job_name": "fraud-detector", "static_configs": [target]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(configuration))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                *(PROGRAMS / "prometheus", f"--config.file={folder}/prometheus.yml"),
                *(f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"),
            ],
            stdout=log,
            stderr=log,
        )
    found = Prometheus(f"http://127.0.0.1:{port}")
    try:
        until(lambda: process.poll() is None and ready(found.address), folder / "log")
        yield found
    finally:
        process.terminate()
        process.wait(60)


def ready(address: str) -> bool:
    with contextlib.suppress(OSError):
        urllib.request.urlopen(f"{address}/-/ready", timeout=5).close()
        return True
    return False


def until(condition: Callable[[], Any], log: Path | None = None) -> Any:
    """What the condition says, once it says something."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.5)
    said = log.read_text()[-2000:] if log is not None else ""
    pytest.fail(f"it did not come to be within two minutes\n{said}")


@pytest.fixture(scope="module")
def asked(running: Live, prometheus: Prometheus) -> int:
    """Callers: most with good rows, some with rows on which the model fails."""
    document = yaml.safe_load(MANIFEST.read_text())["spec"]["inference"]["golden_inputs"]
    good = [golden["instance"] for golden in document]
    broken = {**good[0], next(iter(good[0])): BROKEN}
    until(lambda: prometheus.values(f"up{{{SELECTOR}}}") == [1.0])
    statuses = []
    # Over some scrapes: a rate takes two of them.
    for _ in range(6):
        statuses += [running.ask("/predict", {"instances": good * 10})[0] for _ in range(8)]
        statuses += [running.ask("/predict", {"instances": [broken]})[0] for _ in range(2)]
        time.sleep(1)
    assert set(statuses) == {200, 500}
    return len(statuses)


def test_prometheus_takes_the_rules(rules: Path) -> None:
    done = promtool("check", "rules", str(rules))
    assert done.returncode == 0, done.stderr
    assert f" {len(all_rules(rules))} rules found" in done.stdout + done.stderr


def test_the_server_s_numbers_are_named_as_prometheus_wants_them(running: Live) -> None:
    connection = running.connection()
    connection.request("GET", "/metrics")
    said = connection.getresponse().read().decode()
    connection.close()
    done = promtool("check", "metrics", stdin=said)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


def series(name: str, values: str, **labels: str) -> dict[str, str]:
    given = ",".join(f'{key}="{value}"' for key, value in (LABELS | labels).items())
    return {"series": f"{name}{{{given}}}", "values": values}


def counted(values: str, **labels: str) -> dict[str, str]:
    return series("mlifecycle_requests_total", values, route="predict", **labels)


def requests(good: int, bad: int, minutes: int) -> list[dict[str, str]]:
    """So many answers a minute, for that long."""
    return [
        counted(f"0+{good}x{minutes}", status="200"),
        counted(f"0+{bad}x{minutes}", status="500"),
        series("up", f"1x{minutes}"),
    ]


def answers(soon: int, late: int, minutes: int) -> list[dict[str, str]]:
    """So many a minute within a quarter of a second, and so many later."""
    bucket, count = (
        "mlifecycle_request_duration_seconds_bucket",
        "mlifecycle_request_duration_seconds_count",
    )
    return [
        series(bucket, f"0+{soon}x{minutes}", route="predict", le="0.25"),
        series(bucket, f"0+{soon + late}x{minutes}", route="predict", le="0.5"),
        series(bucket, f"0+{soon + late}x{minutes}", route="predict", le="+Inf"),
        series(count, f"0+{soon + late}x{minutes}", route="predict"),
        series("up", f"1x{minutes}"),
    ]


FIRING = "count(ALERTS{{alertstate='firing',alertname='{}'}}) or vector(0)"
DRIFT = "mlifecycle_feature_drift_psi"
AVAILABILITY, LATENCY = "AvailabilityBudgetBurns", "LatencyBudgetBurns"
# What Prometheus has, at which minute it is asked, and how many alerts of each name fire then.
CASES = {
    "all is well": (requests(1000, 0, 300), 300, {}),
    "as many fail as may": (requests(999, 1, 300), 300, {}),
    "one of fifty fails": (requests(980, 20, 90), 70, {AVAILABILITY: 4}),
    "one of ten fails": (requests(900, 100, 90), 70, {"HighErrorRate": 1, AVAILABILITY: 4}),
    # Nobody is woken any more; the tickets stay.
    "it failed, and does no more": (
        [
            counted("0+900x60 54000+1000x60", status="200"),
            counted("0+100x60 6000+0x60", status="500"),
            series("up", "1x120"),
        ],
        95,
        {AVAILABILITY: 2},
    ),
    "two in a thousand fail for days": (
        requests(998, 2, 5000), 4900, {AVAILABILITY: 1},
    ),
    "others fail": (
        [
            counted("0+10x90", status="500", service="other"),
            series("up", "1x90"),
        ],
        70,
        {},
    ),
    "a fifth is slow": (answers(800, 200, 90), 70, {"SlowAnswers": 1, LATENCY: 4}),
    "few are slow": (answers(999, 1, 90), 70, {}),
    "one feature has moved": (
        [
            series(DRIFT, "0.5x90", feature="amount"),
            series(DRIFT, "0.1x90", feature="merchant_risk"),
            series("up", "1x90"),
        ],
        70,
        {"FeatureDrift": 1, "InputDrift": 1},
    ),
    "no server answers": ([series("up", "0x20")], 10, {"ModelWithoutServers": 1}),
    "there is no server": ([], 10, {"ModelWithoutServers": 1}),
    "a server was away for a moment": ([series("up", "1 1 0 0 1 1 1 1")], 6, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_alerts_fire_when_they_should(rules: Path, tmp_path: Path, case: str) -> None:
    given, minute, wanted = CASES[case]
    names = {rule["alert"] for rule in all_rules(rules) if "alert" in rule}
    assert set(wanted) <= names
    unit = {
        "rule_files": [str(rules)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": given,
                "promql_expr_test": [
                    {
                        "expr": FIRING.format(name),
                        "eval_time": f"{minute}m",
                        "exp_samples": [{"labels": "{}", "value": wanted.get(name, 0)}],
                    }
                    for name in sorted(names)
                ],
            }
        ],
    }
    file = tmp_path / "unit.yaml"
    file.write_text(json.dumps(unit))
    done = promtool("test", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


def all_rules(rules: Path) -> list[dict[str, Any]]:
    return [rule for group in json.loads(rules.read_text())["groups"] for rule in group["rules"]]


def test_failing_requests_fire_the_alerts_of_the_manifest(
    prometheus: Prometheus, asked: int
) -> None:
    wanted = {"HighErrorRate", "AvailabilityBudgetBurns", "FeatureDrift"}
    until(lambda: wanted <= set(prometheus.firing()))
    firing = prometheus.firing()
    told = firing["HighErrorRate"]
    assert told["labels"]["severity"] == "critical"
    assert told["labels"]["team"] == "payments-risk"
    assert re.match(
        r"payments-risk/fraud-detector: [0-9.]+% of its requests fail, more than 0.05 over 5m",
        told["annotations"]["summary"],
    )
    assert "ModelWithoutServers" not in firing
    broken = [
        rule
        for group in prometheus.get("/api/v1/rules")["groups"]
        for rule in group["rules"]
        if rule["health"] != "ok"
    ]
    assert broken == []


def test_every_query_of_the_dashboard_has_an_answer(
    example: ModelDeployment, prometheus: Prometheus, asked: int
) -> None:
    panels = dashboard.document(example)["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(queries) >= len(panels) >= 10
    for query in queries:
        plain = query.replace(dashboard.WINDOW, "1m")
        assert "$" not in plain
        assert until(lambda plain=plain: prometheus.values(plain)), query


def promtool(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(PROGRAMS / "promtool"), *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120)
