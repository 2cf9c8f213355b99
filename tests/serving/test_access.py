"""The gate in front of the application: nothing passes without a credential but what is named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from served_example import connected

from serving.access import building, keys
from serving.access.building import surroundings
from serving.app import create_app
from serving.configuration import PREFIX, read
from serving.http.application import Application
from serving.http.exchange import Exchange

pytestmark = pytest.mark.anyio

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "FOO")
TRICKS: tuple[Callable[[str], str], ...] = (
    lambda path: path + "/",
    lambda path: "/" + path,
    lambda path: "/." + path,
    lambda path: "/x/.." + path,
    lambda path: path + "/.",
    lambda path: path + "/..",
    lambda path: path.upper(),
    lambda path: path.replace("/", "/%2e/", 1),
    lambda path: path.replace("/", "/%2e%2e/", 1),
    lambda path: path.replace("/", "%2f", 1),
    lambda path: path.replace("e", "%65", 1),
    lambda path: path.replace("e", "%2565", 1),
    lambda path: path + "%00",
    lambda path: path + ";a=b",
    lambda path: path + "%20",
    lambda path: path + "%3f",
    lambda path: path + "?authorization=x",
    lambda path: "/health" + path,
    lambda path: "/health/.." + path,
    lambda path: "/health;" + path,
    lambda path: path.replace("/", "\\", 1),
)
MADE_UP = ("/", "", "*", "/nowhere", "/admin", "/docs/oauth2-redirect", "/redoc", "/predict/x",
           "/v2/repository/index", "/static/app.js", "/.env", "/%", "/\u00e9")  # fmt: skip


def made(served: Any, environ: dict[str, str] | None = None, **values: str) -> Application:
    configuration = read({PREFIX + name: value for name, value in values.items()})
    return create_app(
        *served,
        limits=configuration.limits,
        surround=lambda metrics: surroundings(configuration, environ or {}, served[0], metrics),
    )


@pytest.fixture
def key_file(tmp_path: Any) -> Any:
    text, entry = keys.make("billing")
    slow, second = keys.make("slow", rate=1, burst=2)
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"format": 1, "keys": [entry, second]}))
    return file, text, slow


def guarded(served: Any, file: Any, **more: str) -> Application:
    return made(served, AUTHENTICATION="keys", KEYS_FILE=str(file), **more)


class Asked(Exchange):
    """A request straight to the outermost layer, with a path that no client would send so."""

    def write(self, status: Any, body: Any, media_type: Any, headers: Any) -> None:
        self.body = body


async def test_every_route_and_every_way_to_write_it_is_closed(served: Any, key_file: Any) -> None:
    app = guarded(served, key_file[0], PUBLIC="none")
    paths = list(app.routes)
    assert {"/predict", "/health", "/metrics", "/docs", "/openapi.json"} <= set(paths)
    tried = {*paths, *MADE_UP, *(trick(path) for trick in TRICKS for path in paths)}
    bad: list[list[tuple[bytes, bytes]]] = [
        [],
        [(b"authorization", b"")],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", b"Bearer mlk_")],
        [(b"authorization", b"Basic " + key_file[1].encode())],
        [(b"authorization", key_file[1].encode())],
        [(b"x-api-key", b"\xff\x00")],
        [(b"x-forwarded-for", b"127.0.0.1"), (b"x-original-url", b"/health")],
        [(b"cookie", b"key=" + key_file[1].encode())],
        [(b"x-api-key", key_file[1].encode()), (b"authorization", b"Bearer x")],
        [(b"x-api-key", key_file[1].encode())] * 2,
    ]
    for path in tried:
        for method in METHODS:
            for headers in bad:
                exchange = Asked(method, path, b"", headers)
                assert app.enter(exchange) is None
                assert exchange.status == 401, (method, path, headers)
                assert exchange.caller == ""


async def test_with_a_key_the_routes_are_there(served: Any, key_file: Any) -> None:
    file, key, _ = key_file
    async with connected(guarded(served, file)) as http:
        for headers in (
            {"authorization": f"Bearer {key}"},
            {"authorization": f"bearer  {key} "},
            {"x-api-key": key},
        ):
            for path in ("/model/info", "/metrics", "/openapi.json", "/health"):
                assert (await http.get(path, headers=headers)).status_code == 200
            assert (await http.get("/nowhere", headers=headers)).status_code == 404
            body = {"instances": [served[0].golden_inputs[0].instance]}
            assert (await http.post("/predict", json=body, headers=headers)).status_code == 200


async def test_only_what_is_public_is_shown_and_only_by_get(served: Any, key_file: Any) -> None:
    for public in ("none", "health", "health,ready", "metrics", "info,docs"):
        app = guarded(served, key_file[0], PUBLIC=public)
        shown = {"health": "/health", "ready": "/ready", "metrics": "/metrics",
                 "info": "/model/info", "docs": "/docs"}  # fmt: skip
        async with connected(app) as http:
            for part, path in shown.items():
                expected = 200 if part in public.split(",") else 401
                assert (await http.get(path)).status_code == expected, (public, path)
                assert (await http.post(path)).status_code == 401
                for trick in TRICKS[:5]:
                    assert (await http.get(trick(path))).status_code in (401, expected)
            assert (await http.post("/predict", json={})).status_code == 401


async def test_a_refusal_says_how_to_get_in_and_no_more(served: Any, key_file: Any) -> None:
    async with connected(guarded(served, key_file[0])) as http:
        response = await http.post("/predict", content=b"{", headers={"x-api-key": "mlk_wrong"})
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer ")
    assert response.json()["error"]["code"] == "unauthenticated"
    assert "billing" not in response.text


async def test_who_asks_too_often_is_told_to_wait_and_others_are_not(
    served: Any, key_file: Any
) -> None:
    file, key, slow = key_file
    async with connected(guarded(served, file)) as http:
        found = [await http.get("/model/info", headers={"x-api-key": slow}) for _ in range(20)]
        other = [await http.get("/model/info", headers={"x-api-key": key}) for _ in range(20)]
        counted = (await http.get("/metrics", headers={"x-api-key": key})).text
    refused = [response for response in found if response.status_code == 429]
    assert [response.status_code for response in found[:2]] == [200, 200]
    assert len(refused) >= 10
    assert all(int(response.headers["retry-after"]) >= 1 for response in refused)
    assert {response.json()["error"]["code"] for response in refused} == {"rate_limited"}
    assert {response.status_code for response in other} == {200}
    assert f'mlifecycle_errors_total{{code="rate_limited"}} {len(refused)}.0' in counted


async def test_when_there_are_no_keys_to_judge_by_nobody_is_let_in(
    served: Any, key_file: Any
) -> None:
    file, key, _ = key_file
    app = guarded(served, file)
    [source] = app.services
    file.unlink()
    source._grace = 0  # type: ignore[attr-defined]
    source._look()  # type: ignore[attr-defined]
    async with connected(app) as http:
        response = await http.get("/model/info", headers={"x-api-key": key})
        ready = await http.get("/ready")
    assert (response.status_code, response.json()["error"]["code"]) == (
        503,
        "credentials_unavailable",
    )
    assert ready.status_code == 503
    assert any("the key file" in reason for reason in ready.json()["reasons"])


async def test_without_authentication_it_is_open_and_says_so(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(building._log, "warning", said.append)
    metrics = create_app(*served).metrics
    found = surroundings(read({}), {}, served[0], metrics)
    assert "authentication is off" in said[0]
    exchange = Asked("GET", "/predict", b"", [])
    assert found.gate.admit(exchange) is None


async def test_only_the_owners_socket_needs_no_credential(served: Any, key_file: Any) -> None:
    app = guarded(served, key_file[0])
    exchange = Asked("GET", "/model/info", b"", [])
    exchange.private = True
    assert app.enter(exchange) is not None
    assert exchange.caller == "owner"


TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_trace_goes_on_in_the_answer(served: Any) -> None:
    async with connected(made(served)) as http:
        response = await http.get("/health", headers={"traceparent": TRACEPARENT})
        page = await http.get("/openapi.json", headers={"traceparent": TRACEPARENT})
        without = await http.get("/health")
    for answered in (response, page):
        found = answered.headers["traceparent"]
        assert re.fullmatch(r"00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01", found)
        assert found != TRACEPARENT
    assert "traceparent" not in without.headers


@pytest.mark.parametrize(
    "sent",
    [
        "", "00", TRACEPARENT.upper(), TRACEPARENT + "-x", "ff" + TRACEPARENT[2:],
        "00-" + "0" * 32 + "-b7ad6b7169203331-01", TRACEPARENT[:36] + "0" * 16 + "-01",
        TRACEPARENT.replace("-", "_"), "x" * 10_000,
    ],
)  # fmt: skip
async def test_a_damaged_trace_is_not_taken(sent: str, served: Any) -> None:
    async with connected(made(served)) as http:
        response = await http.get("/health", headers={"traceparent": sent})
    assert response.status_code == 200
    assert "traceparent" not in response.headers


async def test_a_later_version_of_traceparent_is_taken(served: Any) -> None:
    async with connected(made(served)) as http:
        sent = "cc" + TRACEPARENT[2:] + "-more"
        response = await http.get("/health", headers={"traceparent": sent})
    assert isinstance(response, httpx.Response)
    assert response.headers["traceparent"].startswith("00-0af7651916cd43dd8448eb211c80319c-")
