"""A cluster as one account sees it: requests, what they answer, and what is waited out.

Every request that is made here may be made twice. An API server that is away, restarts or is
overloaded is asked again for up to PATIENCE seconds.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import anyio
import anyio.to_thread
import urllib3
import yaml
from kubernetes import config
from kubernetes.client import ApiClient, ApiException, Configuration

from pipeline.errors import EnvironmentFailed, InvalidInput, Problem
from pipeline.targets.kubernetes.objects import Document, Key

MANAGER = "mlifecycle"  # as whose the fields that we set are known
PATIENCE = 60.0
# Right after its start an API server knows neither accounts nor their rights yet.
SETTLING = 10.0
CONNECT, READ = 5.0, 30.0
_PAUSE = 0.5
_APPLY = "application/apply-patch+yaml"
_RETRIED = frozenset({429, 502, 503, 504})
# What an API server says with status 500 of a patch with unknown fields.
_UNFIT = "failed to create typed patch object"


class Lost(EnvironmentFailed):
    """Nothing can be said to the cluster, or asked of it."""


class Unreachable(Lost):
    """The API server did not answer for PATIENCE seconds."""


class Unauthorized(Lost):
    """The API server does not accept who we say that we are."""


class Refused(Exception):
    """The API server's no. `causes` are its single reasons, of which a conflict has several."""

    def __init__(self, status: int, message: str, causes: tuple[Mapping[str, Any], ...]) -> None:
        self.status = status
        self.message = message
        self.causes = causes
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Kind:
    """What the API server says of a kind of object."""

    plural: str
    namespaced: bool


@dataclass
class Cluster:
    """The API of one cluster. `context` is the name that the kubeconfig gives to the way there.

    `told` hears what is waited for.
    """

    client: ApiClient
    context: str
    namespace: str | None = None
    told: Callable[[str], None] = lambda message: None
    _kinds: dict[str, dict[str, Kind]] = field(default_factory=dict)
    _away_until: float = 0.0

    @classmethod
    def connect(cls, kubeconfig: Path | None = None, context: str | None = None) -> Cluster:
        """The cluster that a kubeconfig's context names; by default the current one of kubectl's.

        Nothing is asked yet. Raises InvalidInput for a file or a context that cannot be used.
        """
        file = None if kubeconfig is None else str(kubeconfig)
        shown = file or "kubectl's"
        try:
            contexts, current = config.list_kube_config_contexts(file)
            chosen = _chosen(contexts, context) if context is not None else current
            client = config.new_client_from_config(
                file, chosen["name"], persist_config=False, client_configuration=_settings()
            )
        except yaml.YAMLError as error:
            raise _unusable(shown, _without_content(error)) from None
        except _UNUSABLE as error:
            raise _unusable(shown, str(error)) from None
        return cls(client, chosen["name"], chosen.get("context", {}).get("namespace"))

    @classmethod
    def of_text(cls, text: str, context: str | None, way: str | None, room: Path) -> Cluster:
        """The cluster that a kubeconfig names which was given as a text.

        `way` is the address (https://HOST:PORT) at which its API server is reached from here, where
        that is another than the kubeconfig's. Certificates are written into `room`, for as long as
        this process lives. Raises InvalidInput; no message holds a part of the text.
        """
        try:
            document = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise _unusable("", _without_content(error)) from None
        try:
            contexts = document["contexts"]
            chosen = _chosen(contexts, context or document["current-context"])
            inside = chosen["context"]
            _require_no_plugin(_named(document["users"], inside["user"])["user"])
            reached = _named(document["clusters"], inside["cluster"])["cluster"]
            server = urlsplit(reached["server"])
            if way is not None:
                # The certificate is for the name that the kubeconfig has.
                reached.setdefault("tls-server-name", server.hostname)
                reached["server"] = way
            client = config.new_client_from_config_dict(
                document,
                chosen["name"],
                persist_config=False,
                temp_file_path=str(room),
                client_configuration=_settings(),
            )
        except _UNUSABLE as error:
            raise _unusable("", str(error)) from None
        return cls(client, chosen["name"], inside.get("namespace"))

    @property
    def server(self) -> str:
        """The API server's address."""
        return str(self.client.configuration.host)

    async def path(self, key: Key) -> str:
        """Where an object is asked for. Raises NoSuchKind."""
        kind = await self.kind(key.api_version, key.kind)
        if kind is None:
            raise NoSuchKind(key)
        inside = f"/namespaces/{quote(key.namespace)}" if kind.namespaced else ""
        return f"{_root(key.api_version)}{inside}/{kind.plural}/{quote(key.name)}"

    async def kind(self, api_version: str, kind: str) -> Kind | None:
        """What the cluster knows of a kind; None when it has none such."""
        if api_version not in self._kinds:
            listed = await self.get(_root(api_version))
            self._kinds[api_version] = {
                item["kind"]: Kind(item["name"], item["namespaced"])
                for item in (listed or {}).get("resources", ())
                if "/" not in item["name"]
            }
        return self._kinds[api_version].get(kind)

    async def find(self, key: Key) -> Document | None:
        """An object as it is in the cluster; None when it is not there."""
        return await self.get(await self.path(key))

    async def get(self, path: str, **query: str) -> Document | None:
        """What lies at `path`; None when nothing does. Raises Refused."""
        try:
            return await self._ask("GET", path, query)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    async def listed(self, path: str, selector: str = "") -> list[Document]:
        """The items of the list at `path`. Raises Refused."""
        found = await self._ask("GET", path, {"labelSelector": selector} if selector else {})
        return list(found.get("items") or ())

    async def apply(
        self, document: Document, *, trial: bool = False, force: bool = False
    ) -> Document:
        """Apply on the server's side. A `trial` goes through all but the writing.

        `force` takes over the fields that others set. Raises Refused and NoSuchKind.
        """
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict"}
        query |= {"force": "true"} if force else {}
        query |= {"dryRun": "All"} if trial else {}
        return await self._ask("PATCH", await self.path(Key.of(document)), query, document, _APPLY)

    async def create(self, path: str, document: Document) -> Document:
        """Make an object in the list at `path`. Raises Refused."""
        return await self._ask("POST", path, {"fieldManager": MANAGER}, document)

    async def replace(self, path: str, document: Document) -> Document:
        """Write over what is at `path`, if it is still of that resourceVersion. Raises Refused."""
        return await self._ask("PUT", path, {"fieldManager": MANAGER}, document)

    async def delete(self, path: str, *, first: bool = False, **preconditions: str) -> bool:
        """Delete what is at `path` with all that belongs to it; False when nothing was there.

        With `first`, what belongs to it goes first: it is gone only when its pods are.
        """
        options: Document = {"propagationPolicy": "Foreground" if first else "Background"}
        if preconditions:
            options["preconditions"] = preconditions
        try:
            await self._ask("DELETE", path, {}, options)
        except Refused as refused:
            if refused.status != 404:
                raise
            return False
        return True

    async def text(self, path: str, **query: str) -> str:
        """What lies at `path` and is no JSON, such as a log. Raises Refused."""
        return (await self._answer("GET", path, query, None, "")).decode(errors="replace")

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Document | None = None,
        content: str = "application/json",
    ) -> Document:
        return dict(json.loads(await self._answer(method, path, query, body, content)))

    async def _answer(
        self, method: str, path: str, query: Mapping[str, str], body: Document | None, content: str
    ) -> bytes:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                status, data = await anyio.to_thread.run_sync(
                    self._once, method, path, query, body, content, abandon_on_cancel=True
                )
            except (urllib3.exceptions.HTTPError, ApiException, OSError) as error:
                reason = _plainly(error)
            else:
                if status < 300:
                    return data
                reason = self._refusal(status, data)
            if time.monotonic() > deadline:
                raise Unreachable(
                    f"The API server of {self.context} ({self.server}) does not answer: {reason}.",
                    "See that it runs and can be reached.",
                )
            if time.monotonic() > self._away_until:
                self.told(f"waiting for the API server ({reason})")
            self._away_until = time.monotonic() + SETTLING
            await anyio.sleep(_PAUSE)

    def _refusal(self, status: int, data: bytes) -> str:
        """Why to ask again. Raises the server's no where asking again would not help."""
        try:
            said = json.loads(data)
            message = str(said.get("message") or said)
            causes = tuple((said.get("details") or {}).get("causes") or ())
        except (ValueError, AttributeError):
            message, causes = data.decode(errors="replace")[:300], ()
        settling = time.monotonic() < self._away_until
        passing = status == 500 and _UNFIT not in message
        if status in _RETRIED or passing or (settling and status in (401, 403)):
            return f"{status} {message}"
        if status == 401:
            raise Unauthorized(
                f"The API server of {self.context} does not accept this account's credentials: "
                f"{message}.",
                "They are wrong or have expired: renew them in the kubeconfig.",
            )
        raise Refused(status, message, causes)

    def _once(
        self, method: str, path: str, query: Mapping[str, str], body: Document | None, content: str
    ) -> tuple[int, bytes]:
        # Credentials that a plugin or a file gives are read anew for every request.
        call = self.client.param_serialize(
            method=method,
            resource_path=path,
            query_params=list(query.items()),
            header_params={"Accept": "application/json, */*"}
            | ({"Content-Type": content} if body is not None else {}),
            body=body,
            auth_settings=["BearerToken"],
        )
        answer = self.client.call_api(*call, _request_timeout=(CONNECT, READ))
        return answer.status, answer.read()


class NoSuchKind(Exception):
    """The cluster does not know what kind of object this is."""

    def __init__(self, key: Key) -> None:
        self.key = key
        super().__init__(f"the cluster has no {key.kind} of {key.api_version}")


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _plainly(error: BaseException) -> str:
    inner = getattr(error, "reason", None)
    return " ".join(str(inner if isinstance(inner, Exception) else error).split())[:200]


_UNUSABLE = (config.ConfigException, OSError, AttributeError, KeyError, TypeError, ValueError)


def _settings() -> Configuration:
    settings = Configuration()
    settings.retries = False
    return settings


def _named(entries: list[Document], name: str) -> Document:
    """The entry of a kubeconfig's list with that name. Raises KeyError."""
    found = next((each for each in entries if each["name"] == name), None)
    if found is None:
        raise KeyError(name)
    return found


def _chosen(contexts: list[Document], name: str) -> Document:
    """The context of that name. Raises InvalidInput."""
    chosen = next((each for each in contexts if each["name"] == name), None)
    if chosen is None:
        names = ", ".join(sorted(each["name"] for each in contexts))
        raise _invalid("--context", name, f"a context of the kubeconfig ({names})")
    return chosen


def _require_no_plugin(user: Document) -> None:
    """Refuse a program that is to give the credentials and is not here. Raises InvalidInput.

    The client would go on without credentials, and the API server would refuse nobody's requests.
    """
    program = (user.get("exec") or {}).get("command")
    if program is not None and shutil.which(program) is None:
        raise _invalid(
            "--kubeconfig",
            f"users[].user.exec.command: {program}",
            "a token or a client certificate in the kubeconfig, as the program that would give "
            "them is not here",
        )


def _unusable(shown: str, said: str) -> InvalidInput:
    reason = " ".join(said.split())[:300]
    return _invalid("--kubeconfig", shown, f"a kubeconfig that can be used ({reason})")


def _without_content(error: yaml.YAMLError) -> str:
    """Where it is no YAML; the error's own words quote the line, which may hold a token."""
    mark = getattr(error, "problem_mark", None)
    return "no YAML" if mark is None else f"no YAML from line {mark.line + 1} on"


def _invalid(flag: str, value: str, expected: str) -> InvalidInput:
    return InvalidInput([Problem(flag, "", value, expected, "Name another one.")])
