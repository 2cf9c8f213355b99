"""A stand-in for serving.app: the same paths, no framework, and the ways to be wrong."""

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path


def descriptors():
    found = {}
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found[link.name] = str(link.readlink())
    return found


def create_app(settings, model, **_):
    answered = 0

    async def respond(send, status, document):
        body = json.dumps(document).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def predict(receive, send):
        nonlocal answered
        while (await receive()).get("more_body"):
            pass
        await asyncio.sleep(settings.seconds)
        answered += 1
        if settings.mode == "errors" and answered % 2:
            return await respond(send, 500, {"error": "no"})
        if settings.mode == "short-lived" and answered > 3:
            os._exit(9)
        return await respond(
            send,
            200,
            {
                "predictions": [
                    {
                        "prediction": settings.prediction,
                        "confidence": 0.97,
                        "probabilities": {"legitimate": 0.97, "fraud": 0.03},
                    }
                ],
                "model_version": settings.version,
                "pid": os.getpid(),
            },
        )

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            if settings.mode == "bad startup":
                await send({"type": "lifespan.startup.failed", "message": "no"})
                return
            print(f"{settings.version} starts", file=sys.stderr, flush=True)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        path = scope["path"]
        if path == "/predict":
            await predict(receive, send)
        elif path == "/ready":
            unready = settings.mode == "unready"
            await respond(send, 503 if unready else 200, {"reasons": ["golden"] if unready else []})
        elif path == "/model/info":
            await respond(send, 200, {"release": settings.release, "version": settings.version})
        elif path == "/process":
            await respond(send, 200, {"environment": dict(os.environ), "fds": descriptors()})
        else:
            await respond(send, 404, {})

    return app
