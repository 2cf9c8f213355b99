"""What uvicorn does at most: the same bodies parsed and written, and no model."""

import orjson

ANSWER = {
    "predictions": [
        {
            "prediction": "legitimate",
            "confidence": 0.9833329916000366,
            "probabilities": {"legitimate": 0.9833329916000366, "fraud": 0.016667000949382782},
        }
    ],
    "model_name": "bench",
    "model_version": "1.0.0",
    "inference_time_ms": 0.094,
}


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            break
    if body:
        orjson.loads(body)
    answer = orjson.dumps(ANSWER)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(answer)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
