"""Run the inference server on one release.

By itself it serves on a host and port. With `--control` it is one of a deployment's servers: it
loads, answers on `<control>.http` for whoever verifies it, and takes traffic from the inherited
listening socket when told to. SIGTERM drains it: open requests are answered, then it exits with 0.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from serving.control import Control
from serving.server import BACKLOG, Server

# An image says here which release it holds: its entry point is fixed before it is known.
RELEASE_DIGEST = "MLIFECYCLE_RELEASE_DIGEST"


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until drained. The exit code: 0 drained, 1 could not start, 2 wrong usage."""
    parser = _parser()
    options = parser.parse_args(argv)
    if not options.release.is_dir():
        parser.error(f"--release: {options.release} is not a folder")
    if not options.release_digest:
        parser.error(f"the release's digest is not given: --release-digest or {RELEASE_DIGEST}")
    if options.workers < 1 or (options.control and options.workers > 1):
        parser.error(f"--workers: {options.workers} is less than 1, or more than --control keeps")
    try:
        return _supervised(options) if options.control else _alone(options)
    except OSError as error:
        print(f"serving: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serving", description=__doc__)
    parser.add_argument("--release", type=Path, required=True, help="the release's folder")
    parser.add_argument(
        "--release-digest",
        default=os.environ.get(RELEASE_DIGEST),
        help=f"its digest, sha256:<hex>, as /model/info tells it; by default ${RELEASE_DIGEST}",
    )
    parser.add_argument("--control", type=Path, help="unix socket on which to be commanded")
    parser.add_argument("--socket-fd", type=int, help="the inherited listening socket")
    parser.add_argument("--host", default="127.0.0.1", help="without --control: where to listen")
    parser.add_argument("--port", type=int, default=8000, help="without --control: the port")
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        help="without --control: processes that serve side by side, each on one thread",
    )
    return parser


def _alone(options: argparse.Namespace) -> int:
    listener = _bound(options.host, options.port)
    if options.workers > 1:
        return _beside_each_other(options, listener)
    app, error = _application(options)
    return _serve(app, error, listener)


def _serve(app: object, error: str, listener: socket.socket) -> int:
    if error:
        print(f"serving: {error}", file=sys.stderr)
        return 1
    host, port = listener.getsockname()[:2]
    server = Server(
        app,
        listener=None,
        on_ready=lambda: print(f"serving on {host}, port {port}", file=sys.stderr, flush=True),
    )
    with contextlib.suppress(SystemExit):  # uvicorn's way to say that the startup failed
        server.run([listener])
    return 0 if server.started else 1


def _beside_each_other(options: argparse.Namespace, listener: socket.socket) -> int:
    prepared, error = _attempt(lambda: _prepared(options))
    if error:
        print(f"serving: {error}", file=sys.stderr)
        return 1
    from serving import workers
    from serving.app import ROUTES, create_app
    from serving.metrics.metrics import Metrics

    settings, lane = prepared
    metrics = Metrics(settings, ROUTES, options.workers)

    def work(index: int) -> int:
        metrics.board.write_as(index)
        app, error = _attempt(lambda: create_app(settings, lane, metrics=metrics))
        return _serve(app, error, listener)

    return workers.serve(options.workers, work)


def _prepared(options: argparse.Namespace) -> tuple[Any, Any]:
    """The settings and the model, for several workers: it computes on one thread of each, as a
    pool of threads would not outlive the fork."""
    from serving import settings as settings_of
    from serving.model import load

    settings = settings_of.load(options.release, options.release_digest)
    return settings, load(settings, threads=1)


def _supervised(options: argparse.Namespace) -> int:
    listener = None if options.socket_fd is None else socket.socket(fileno=options.socket_fd)
    control = Control(options.control, {"release": options.release_digest, "version": ""}, listener)
    control.open()
    app, error = _application(options, control)
    if error:
        print(f"serving: {error}", file=sys.stderr, flush=True)
        control.fail(error)
        return 1
    verification = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    verification.bind(f"{options.control}.http")
    server = Server(
        app,
        listener=listener,
        on_ready=lambda: control.ready(server),
        on_drain=control.draining,
    )
    with contextlib.suppress(SystemExit):  # uvicorn's way to say that the startup failed
        server.run([verification])
    if not server.started:
        control.fail("the application did not start; the log says why")
        return 1
    return 0


def _application(options: argparse.Namespace, control: Control | None = None) -> tuple[object, str]:
    """The app with its model loaded, or why there is none.

    The parts that need torch are imported here: seconds in which the control line already answers.
    """

    def made() -> object:
        from serving import settings as settings_of

        settings = settings_of.load(options.release, options.release_digest)
        if control is not None:
            control.describe(version=settings.version)
        from serving.app import create_app
        from serving.model import load

        return create_app(settings, load(settings))

    return _attempt(made)


def _attempt(work: Callable[[], Any]) -> tuple[Any, str]:
    """What `work` gives, or why it cannot, in one line."""
    from serving.errors import ServingError

    try:
        return work(), ""
    except ImportError as error:
        return None, f"the environment lacks a part of the server: {error}"
    except ServingError as error:
        return None, str(error)
    except Exception as error:
        logging.getLogger("serving").exception("the server cannot start")
        return None, f"{type(error).__name__}: {error}"


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.listen(BACKLOG)
    return listener


if __name__ == "__main__":
    sys.exit(main())
