"""The onnx lane: the model's ONNX file, run by ONNX Runtime. Nothing here imports torch."""

from __future__ import annotations

import onnxruntime

from serving import processors
from serving.errors import UnfitModel
from serving.lanes.interface import Rows, first_line

_WARNINGS_OFF = 3


class OnnxLane:
    """A model in ONNX Runtime."""

    name = "onnx"

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._run = session.run
        [given], [asked] = session.get_inputs(), session.get_outputs()
        self._given = given.name
        self._asked = [asked.name]

    def predict(self, rows: Rows) -> Rows:
        """Probabilities (n x classes) for `rows` (n x features)."""
        answer: Rows = self._run(self._asked, {self._given: rows})[0]
        return answer


def load(data: bytes) -> OnnxLane:
    """Load the ONNX file's content; raises UnfitModel.

    The file is the build's own, found again by its digest. Nothing beside it is read: it comes from
    memory, and custom operators are not registered.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = processors.available()
    options.inter_op_num_threads = 1
    # Threads that spin while they wait take the event loop's processor.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _WARNINGS_OFF
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        return OnnxLane(session)
    except Exception as error:  # whatever ONNX Runtime raises on a file that it cannot build
        raise UnfitModel(f"ONNX Runtime cannot load the model: {first_line(error)}") from error
