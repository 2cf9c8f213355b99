"""MLServer, with its adaptive batching."""

import sys
from pathlib import Path

from mlserver import MLModel
from mlserver.codecs import NumpyCodec

sys.path.insert(0, str(Path(__file__).parents[1]))
import model


class Bench(MLModel):
    async def load(self):
        self.model = model.load()
        return True

    async def predict(self, payload):
        rows = NumpyCodec.decode_input(payload.inputs[0])
        from mlserver.types import InferenceResponse

        answer = model.answer(self.model, rows).numpy()
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("probabilities", answer)]
        )
