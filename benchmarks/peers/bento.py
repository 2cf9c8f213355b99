"""BentoML, with adaptive batching or without."""

import os

import bentoml
import model
import numpy as np

BATCHES = os.environ["BATCHES"] == "yes"


@bentoml.service(workers=1, traffic={"timeout": 30}, metrics={"enabled": False})
class Bench:
    def __init__(self):
        self.model = model.load()

    @bentoml.api(batchable=BATCHES, max_batch_size=64, max_latency_ms=1000)
    def predict(self, rows: np.ndarray) -> np.ndarray:
        return model.answer(self.model, rows).numpy()
