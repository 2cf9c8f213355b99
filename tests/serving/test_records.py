"""The audit log and the traces: all that must be in them, and what must never hold up an answer."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from served_example import connected
from test_access import TRACEPARENT, guarded, key_file, made  # noqa: F401 - a fixture

from serving.access.building import surroundings
from serving.app import create_app
from serving.configuration import PREFIX, read
from serving.errors import InvalidConfiguration
from serving.record import audit as audit_log
from serving.record import queue, traces
from serving.record.context import begun, taken
from serving.record.traces import Sampling

pytestmark = pytest.mark.anyio


def eventually(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


async def asked(app: Any, *requests: tuple[Any, dict[str, str]]) -> list[Any]:
    for service in app.services:
        service.start()
    async with connected(app) as http:
        found = [await http.post("/predict", content=body, headers=h) for body, h in requests]
        found.append(await http.get("/metrics", headers=requests[0][1]))
    for service in app.services:
        service.stop()
    return found


def lines_of(path: Path) -> list[dict[str, Any]]:
    data = path.read_bytes()
    assert data.endswith(b"\n") or not data
    return [json.loads(line) for line in data.splitlines()]


async def test_every_request_for_predictions_leaves_a_line(
    served: Any,
    key_file: Any,  # noqa: F811
    tmp_path: Path,
) -> None:
    file, key, _ = key_file
    log = tmp_path / "audit.log"
    good = json.dumps({"instances": [g.instance for g in served[0].golden_inputs[:2]]}).encode()
    headers = {"x-api-key": key, "x-request-id": "mine", "traceparent": TRACEPARENT}
    await asked(
        guarded(served, file, AUDIT=str(log)),
        (good, headers),
        (b"{", {"x-api-key": key}),
        (b"", {}),
    )
    first, second, third = lines_of(log)
    assert first == {
        "time": first["time"],
        "request_id": "mine",
        "caller": "billing",
        "route": "predict",
        "model": "fraud-detector",
        "version": "1.2.0",
        "digest": served[0].digest,
        "release": served[0].release,
        "instances": 2,
        "status": 200,
        "code": None,
        "latency_ms": first["latency_ms"],
        "trace_id": TRACEPARENT[3:35],
        "span_id": first["span_id"],
    }
    assert first["latency_ms"] > 0
    assert (second["status"], second["code"]) == (400, "invalid_json")
    assert (third["status"], third["code"], third["caller"]) == (401, "unauthenticated", None)
    assert (tmp_path / "audit.log").stat().st_mode & 0o007 == 0


async def test_inputs_are_written_when_asked_for_without_what_is_masked(
    served: Any, tmp_path: Path
) -> None:
    log = tmp_path / "audit.log"
    app = made(served, AUDIT=str(log), AUDIT_INPUTS="1", AUDIT_MASKED="amount,hour")
    instance = served[0].golden_inputs[0].instance
    await asked(app, (json.dumps({"instances": [instance] * 150}).encode(), {}))
    [line] = lines_of(log)
    assert line["instances"] == 150
    assert len(line["inputs"]) == audit_log.MOST_INSTANCES
    for written in line["inputs"]:
        assert (written["amount"], written["hour"]) == ("***", "***")
        assert {k: v for k, v in written.items() if v != "***"} == pytest.approx(
            {k: v for k, v in instance.items() if k not in ("amount", "hour")}, rel=1e-6
        )


async def test_a_share_of_inputs_and_none_by_default(served: Any, tmp_path: Path) -> None:
    body = json.dumps({"instances": [served[0].golden_inputs[0].instance]}).encode()
    for share, low, high in (("0", 0, 0), ("0.5", 60, 140)):
        log = tmp_path / f"audit-{share}.log"
        app = made(served, AUDIT=str(log), AUDIT_INPUTS=share)
        await asked(app, *[(body, {})] * 200)
        assert low <= sum("inputs" in line for line in lines_of(log)) <= high


async def test_a_feature_to_mask_that_the_model_does_not_have_is_refused(served: Any) -> None:
    values = {"AUDIT": "stdout", "AUDIT_INPUTS": "1", "AUDIT_MASKED": "amuont"}
    configuration = read({PREFIX + name: value for name, value in values.items()})
    metrics = create_app(*served).metrics
    with pytest.raises(InvalidConfiguration, match="amuont"):
        surroundings(configuration, {}, served[0], metrics)


async def test_nothing_that_a_caller_sends_makes_a_line(served: Any, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    forged = '\\n{"status":200,"caller":"root"}\u2028\x85'
    requests = [
        (json.dumps({"instances": [{forged: forged}]}).encode(), {"x-request-id": "a b"}),
        (forged.encode(), {"x-request-id": '"},{"', "traceparent": "00-x"}),
    ]
    await asked(made(served, AUDIT=str(log), AUDIT_INPUTS="1"), *requests)
    text = log.read_text()
    assert len(text.splitlines()) == len(requests)  # by any character that ends a line
    assert "root" not in text
    assert all(line["caller"] is None for line in lines_of(log))


async def test_what_the_disk_does_not_take_is_counted_and_answers_go_on(served: Any) -> None:
    app = made(served, AUDIT="/dev/full")
    body = json.dumps({"instances": [served[0].golden_inputs[0].instance]}).encode()
    found = await asked(app, *[(body, {})] * 5)
    assert {response.status_code for response in found} == {200}
    async with connected(app) as http:
        counted = (await http.get("/metrics")).text
    assert 'mlifecycle_audit_lost_lines_total{reason="not_written"} 5.0' in counted


async def test_a_file_that_cannot_be_opened_ends_the_start(served: Any, tmp_path: Path) -> None:
    app = made(served, AUDIT=str(tmp_path / "none" / "audit.log"))
    with pytest.raises(OSError, match="No such file"):
        app.services[0].start()


def test_a_moved_file_is_begun_anew(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(audit_log, "_LOOK_FOR_FILE", 0.0)
    output = audit_log._Output(str(tmp_path / "log"))
    output.open()
    assert output.write([b"1\n"]) == 0
    (tmp_path / "log").rename(tmp_path / "old")
    assert output.write([b"2\n"]) == 0
    assert (tmp_path / "old").read_bytes() == b"1\n"
    assert (tmp_path / "log").read_bytes() == b"2\n"


def test_a_pipe_gets_whole_lines_in_pieces_that_do_not_mix(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    output = audit_log._Output(str(tmp_path / "pipe"))
    output.open()
    lines = [b"x" * 1500 + b"\n"] * 5 + [b"y" * 9000 + b"\n"]
    assert [len(piece) for piece in output._pieces(lines)] == [2, 2, 1, 1]
    assert output.write(lines) == 0
    assert os.read(reader, 100_000) == b"".join(lines)
    os.close(reader)


class Number:
    def __init__(self) -> None:
        self.value = 0.0

    def add(self, amount: float = 1.0) -> None:
        self.value += amount


class Counts:
    def __init__(self) -> None:
        self.full, self.unwritten = Number(), Number()


def test_a_full_queue_drops_and_counts_and_does_not_wait() -> None:
    gate, written, counts = threading.Event(), [], Counts()

    def slow(things: Any) -> int:
        gate.wait(20)
        written.extend(things)
        return 0

    drained = queue.Drained("slow", slow, counts, most=10, chunk=4)
    drained.start()
    for thing in range(100):
        drained.put(thing)
    assert counts.full.value >= 80
    gate.set()
    drained.stop(20)
    assert len(written) + counts.full.value == 100
    assert written == sorted(written)
    assert counts.unwritten.value == 0


def test_the_end_waits_for_what_is_left_but_not_for_ever() -> None:
    stuck, counts = threading.Event(), Counts()

    def never(things: Any) -> int:
        stuck.wait(20)
        return 0

    drained = queue.Drained("stuck", never, counts, most=100, chunk=1)
    drained.start()
    for thing in range(10):
        drained.put(thing)
    drained.stop(0.2)
    stuck.set()
    assert counts.unwritten.value >= 9


def test_a_writer_that_fails_loses_its_entries_and_goes_on() -> None:
    counts, written = Counts(), []

    def failing(things: Any) -> int:
        if 3 in things:
            raise ZeroDivisionError
        written.extend(things)
        return 0

    drained = queue.Drained("failing", failing, counts, most=100, chunk=1)
    for thing in range(6):
        drained.put(thing)
    drained.start()
    drained.stop(20)
    assert (written, counts.unwritten.value) == ([0, 1, 2, 4, 5], 1)


class Collector(http.server.BaseHTTPRequestHandler):
    bodies: list[tuple[str, str, bytes]] = []  # noqa: RUF012

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        Collector.bodies.append((self.path, self.headers["content-type"], body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def collector(monkeypatch: Any) -> Any:
    Collector.bodies = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "fraud")
    yield {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    server.shutdown()
    thread.join(20)
    server.server_close()


def spans() -> list[tuple[dict[str, Any], Any]]:
    found = []
    for path, kind, body in Collector.bodies:
        assert (path, kind) == ("/v1/traces", "application/x-protobuf")
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            about = {a.key: a.value.string_value for a in resource.resource.attributes}
            found += [(about, span) for scope in resource.scope_spans for span in scope.spans]
    return found


async def test_spans_come_to_a_collector(served: Any, collector: Any) -> None:
    body = json.dumps({"instances": [served[0].golden_inputs[0].instance]}).encode()
    before = time.time_ns()
    answers = await asked(
        made(served, collector), (body, {"traceparent": TRACEPARENT}), (b"{", {}),
        (body, {"traceparent": TRACEPARENT[:-1] + "0"}),
    )  # fmt: skip
    found = {span.name + str(index): span for index, (_, span) in enumerate(spans())}
    assert list(found) == ["POST predict0", "POST predict1", "GET metrics2"]
    first, second, _ = found.values()
    about = spans()[0][0]
    assert (about["service.name"], about["mlifecycle.model.version"]) == ("fraud", "1.2.0")
    assert first.trace_id.hex() == TRACEPARENT[3:35]
    assert first.parent_span_id.hex() == TRACEPARENT[36:52]
    assert first.span_id.hex() == answers[0].headers["traceparent"][36:52]
    assert first.kind == first.SPAN_KIND_SERVER
    assert before <= first.start_time_unix_nano < first.end_time_unix_nano <= time.time_ns()
    assert second.parent_span_id == b""
    assert second.trace_id.hex() == answers[1].headers["traceparent"][3:35]
    attributes = {a.key: a.value for a in second.attributes}
    assert attributes["http.response.status_code"].int_value == 400
    assert attributes["error.type"].string_value == "invalid_json"


async def test_a_collector_that_is_away_costs_spans_and_nothing_else(
    served: Any, monkeypatch: Any
) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    for name, value in (environ | {"OTEL_EXPORTER_OTLP_TIMEOUT": "1"}).items():
        monkeypatch.setenv(name, value)
    app = made(served, environ)
    body = json.dumps({"instances": [served[0].golden_inputs[0].instance]}).encode()
    found = await asked(app, *[(body, {})] * 3)
    assert {response.status_code for response in found} == {200}
    async with connected(app) as http:
        counted = (await http.get("/metrics")).text
    assert 'mlifecycle_lost_spans_total{reason="not_written"} 0.0' not in counted


def test_which_traces_are_recorded() -> None:
    assert not traces.wanted({})
    assert traces.wanted({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "x"})
    assert not traces.wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "x", "OTEL_SDK_DISABLED": "TRUE"})
    assert not traces.wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "x", "OTEL_TRACES_EXPORTER": "none"})
    assert traces.sampling({}) == Sampling(True, 1.0)
    some = traces.sampling(
        {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}
    )
    contexts = [begun() for _ in range(4000)]
    for context in contexts:
        some.decide(context)
    assert 800 < sum(context.sampled for context in contexts) < 1200
    for sampled, flag in ((True, b"1"), (False, b"0")):
        context = taken(TRACEPARENT[:-1].encode() + flag)
        assert context is not None
        some.decide(context)
        assert context.sampled is sampled
    for name, share in (("some", "1"), ("traceidratio", "2"), ("traceidratio", "x")):
        wrong = {"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": share}
        with pytest.raises(InvalidConfiguration):
            traces.sampling(wrong)


def test_what_is_not_configured_is_not_imported() -> None:
    code = (
        "import sys, serving.app, serving.access.building\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('opentelemetry', 'jwt')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
