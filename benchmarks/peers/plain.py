"""The service as tutorials write it: pydantic bodies, a middleware, a log line per request."""

import logging
import time

import model
from fastapi import FastAPI, Request
from pydantic import BaseModel
from starlette.middleware.base import BaseHTTPMiddleware

logging.basicConfig(filename="/dev/null", level=logging.INFO)
log = logging.getLogger("service")
loaded = model.load()
CLASSES = ["legitimate", "fraud"]


class PredictRequest(BaseModel):
    instances: list[list[float]]


class Prediction(BaseModel):
    prediction: str
    confidence: float
    probabilities: dict[str, float]


class PredictResponse(BaseModel):
    predictions: list[Prediction]
    model_name: str
    model_version: str
    inference_time_ms: float


class Logging(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next):
        began = time.perf_counter()
        response = await call_next(request)
        log.info("%s %s %.3f", request.url.path, response.status_code, time.perf_counter() - began)
        return response


app = FastAPI()
app.add_middleware(Logging)


@app.post("/predict", response_model=PredictResponse)
async def predict(request: PredictRequest) -> PredictResponse:
    began = time.perf_counter()
    rows = model.answer(loaded, request.instances).tolist()
    predictions = [
        Prediction(
            prediction=CLASSES[row.index(max(row))],
            confidence=max(row),
            probabilities=dict(zip(CLASSES, row, strict=True)),
        )
        for row in rows
    ]
    return PredictResponse(
        predictions=predictions,
        model_name="bench",
        model_version="1.0.0",
        inference_time_ms=(time.perf_counter() - began) * 1000,
    )
