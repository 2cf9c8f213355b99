"""Run the inference server on one release.

By itself it serves on a host and port. With `--control` it is one of a deployment's servers: it
loads, answers on `<control>.http` for whoever verifies it, and takes traffic from the inherited
listening socket when told to. SIGTERM drains it: open requests are answered, then it exits with 0.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import logging
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from serving import configuration
from serving.configuration import Configuration
from serving.control import Control
from serving.errors import InvalidConfiguration
from serving.server import BACKLOG, Server

# An image says here which release it holds: its entry point is fixed before it is known.
RELEASE_DIGEST = "MLIFECYCLE_RELEASE_DIGEST"


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until drained. The exit code: 0 drained, 1 could not start, 2 wrong usage."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["keys"]:
        from serving.access import key_command

        return key_command.main(arguments[1:])
    parser = _parser()
    options = parser.parse_args(arguments)
    if not options.release.is_dir():
        parser.error(f"--release: {options.release} is not a folder")
    if not options.release_digest:
        parser.error(f"the release's digest is not given: --release-digest or {RELEASE_DIGEST}")
    try:
        configured = configuration.read(os.environ)
    except InvalidConfiguration as error:
        if options.control:
            _refuse_control(options, str(error))
        print(f"serving: {error}", file=sys.stderr)
        return 2
    workers = _workers(options, configured)
    if workers < 1 or (options.control and workers > 1):
        parser.error(f"--workers: {workers} is less than 1, or more than --control keeps")
    try:
        if options.control:
            return _supervised(options, configured)
        return _alone(options, configured)
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
    prefix = configuration.PREFIX
    parser.add_argument(
        "--host", help=f"without --control: where to listen; by default ${prefix}HOST, 127.0.0.1"
    )
    parser.add_argument(
        "--port", type=int, help=f"without --control: the port; by default ${prefix}PORT, 8000"
    )
    parser.add_argument(
        "--workers",
        type=int,
        help="without --control: processes that serve side by side, each on one thread; by default "
        f"${prefix}WORKERS, 1",
    )
    return parser


def _alone(options: argparse.Namespace, configured: Configuration) -> int:
    listener = _bound(
        configured.host if options.host is None else options.host,
        configured.port if options.port is None else options.port,
    )
    workers = _workers(options, configured)
    if workers > 1:
        return _beside_each_other(options, configured, workers, listener)
    app, error, code = _application(options, configured)
    return _serve(app, error, code, listener)


def _workers(options: argparse.Namespace, configured: Configuration) -> int:
    return configured.workers if options.workers is None else int(options.workers)


def _serve(app: object, error: str, code: int, listener: socket.socket) -> int:
    if error:
        print(f"serving: {error}", file=sys.stderr)
        return code
    host, port = listener.getsockname()[:2]
    server = Server(
        app,
        listener=None,
        on_ready=lambda: print(f"serving on {host}, port {port}", file=sys.stderr, flush=True),
    )
    with contextlib.suppress(SystemExit):  # uvicorn's way to say that the startup failed
        server.run([listener])
    return 0 if server.started else 1


def _beside_each_other(
    options: argparse.Namespace, configured: Configuration, count: int, listener: socket.socket
) -> int:
    prepared, error, code = _attempt(lambda: _prepared(options))
    if error:
        print(f"serving: {error}", file=sys.stderr)
        return code
    from serving import workers
    from serving.access.building import surroundings
    from serving.app import ROUTES, create_app
    from serving.metrics.metrics import Metrics

    settings, lane = prepared
    metrics = Metrics(settings, ROUTES, count)
    surround = functools.partial(surroundings, configured, os.environ, settings, workers=count)

    def make() -> Any:
        return create_app(
            settings, lane, limits=configured.limits, surround=surround, metrics=metrics
        )

    # What every worker would fail at is found before there is one.
    _, error, code = _attempt(lambda: surround(metrics))
    if error:
        print(f"serving: {error}", file=sys.stderr)
        return code

    def work(index: int) -> int:
        metrics.board.write_as(index)
        return _serve(*_attempt(make), listener)

    return workers.serve(count, work)


def _prepared(options: argparse.Namespace) -> tuple[Any, Any]:
    """The settings and the model, for several workers: it computes on one thread of each, as a
    pool of threads would not outlive the fork."""
    from serving import settings as settings_of
    from serving.model import load

    settings = settings_of.load(options.release, options.release_digest)
    return settings, load(settings, threads=1)


def _control(options: argparse.Namespace) -> tuple[Control, socket.socket | None]:
    listener = None if options.socket_fd is None else socket.socket(fileno=options.socket_fd)
    control = Control(options.control, {"release": options.release_digest, "version": ""}, listener)
    control.open()
    return control, listener


def _refuse_control(options: argparse.Namespace, error: str) -> None:
    with contextlib.suppress(OSError):
        control, _ = _control(options)
        control.fail(error)


def _supervised(options: argparse.Namespace, configured: Configuration) -> int:
    control, listener = _control(options)
    app, error, code = _application(options, configured, control)
    if error:
        print(f"serving: {error}", file=sys.stderr, flush=True)
        control.fail(error)
        return code
    verification = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    verification.bind(f"{options.control}.http")
    # Who may open it is its owner, who needs no other credential.
    Path(f"{options.control}.http").chmod(0o600)
    app.private_socket = str(verification.getsockname())
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


def _application(
    options: argparse.Namespace, configured: Configuration, control: Control | None = None
) -> tuple[Any, str, int]:
    """The app with its model loaded, or why there is none, and the exit code of that.

    The parts that need torch are imported here: seconds in which the control line already answers.
    """

    def made() -> object:
        from serving import settings as settings_of

        settings = settings_of.load(options.release, options.release_digest)
        if control is not None:
            control.describe(version=settings.version)
        from serving.access.building import surroundings
        from serving.app import create_app
        from serving.model import load

        surround = functools.partial(surroundings, configured, os.environ, settings)
        return create_app(settings, load(settings), limits=configured.limits, surround=surround)

    return _attempt(made)


def _attempt(work: Callable[[], Any]) -> tuple[Any, str, int]:
    """What `work` loads, or why it cannot, in one line, and the exit code of that.

    What is loaded stays, so it is left out of every collection of garbage. torch alone brings some
    200,000 objects: to go through them takes 80 to 150 ms, in which no request is answered. Frozen
    before a fork, they also stay in memory that the workers share.
    """
    from serving.errors import InvalidKeys, ServingError

    try:
        loaded = work()
        gc.freeze()
        return loaded, "", 0
    except ImportError as error:
        return None, f"the environment lacks a part of the server: {error}", 1
    except (InvalidConfiguration, InvalidKeys) as error:
        return None, str(error), 2
    except ServingError as error:
        return None, str(error), 1
    except Exception as error:
        logging.getLogger("serving").exception("the server cannot start")
        return None, f"{type(error).__name__}: {error}", 1


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
