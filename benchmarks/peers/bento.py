"""BentoML, with adaptive batching."""

import bentoml
import model
import numpy as np


@bentoml.service(workers=1, traffic={"timeout": 30})
class Bench:
    def __init__(self):
        self.model = model.load()

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=200)
    def predict(self, rows: np.ndarray) -> np.ndarray:
        return model.answer(self.model, rows).numpy()
