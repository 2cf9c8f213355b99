"""POST /predict: a class, its probability and all classes' probabilities for every instance."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from serving.batching import Answers, Batcher, Entry
from serving.http.body import demand_json
from serving.http.exchange import Exchange
from serving.http.problems import Refused
from serving.limits import Limits
from serving.settings import Settings
from serving.signature import Fault, Signature

_ROWS = b"],["


class Predict:
    """The route. The answer is written from pieces that are made once: only the numbers differ."""

    def __init__(
        self, settings: Settings, signature: Signature, batcher: Batcher, limits: Limits
    ) -> None:
        self._signature = signature
        self._batcher = batcher
        self._limits = limits
        names = [orjson.dumps(name).replace(b"%", b"%%") for name in settings.classes]
        probabilities = b",".join(b"%b:%%b" % name for name in names)
        self._predictions = [
            b'{"prediction":%b,"confidence":%%b,"probabilities":{%b}}' % (name, probabilities)
            for name in names
        ]
        model = orjson.dumps({"model_name": settings.name, "model_version": settings.version})
        self._tail = b"]," + model[1:-1].replace(b"%", b"%%") + b',"inference_time_ms":%.3f}'

    def __call__(self, exchange: Exchange) -> None:
        """Read the body and put its rows into the queue."""
        try:
            self._take(exchange)
        except Refused as refused:
            exchange.refuse(refused)

    def _take(self, exchange: Exchange) -> None:
        demand_json(exchange)
        try:
            document = orjson.loads(exchange.body)
        except orjson.JSONDecodeError as error:
            raise Refused(400, "invalid_json", f"The body is no JSON: {error}.") from None
        if type(document) is not dict or len(document) != 1 or "instances" not in document:
            fault = Fault(None, None, document, '{"instances": [...]} and nothing beside it')
            raise Refused(422, "invalid_request", "The body is not a request.", [fault])
        instances = document["instances"]
        data = self._signature.packed(instances)
        if not data or len(instances) > self._limits.max_instances:
            raise self._invalid(instances)
        exchange.instances = len(instances)
        self._batcher.submit(
            Entry(
                exchange,
                data,
                len(instances),
                self._answer,
                lambda exchange: exchange.refuse(self._invalid(instances)),
            )
        )

    def _invalid(self, instances: Any) -> Refused:
        faults = self._signature.explain(instances, self._limits.max_instances)
        message = f"{len(faults)} values do not fit the model's signature."
        return Refused(422, "invalid_instances", message, faults)

    def _answer(self, exchange: Exchange, answers: Answers, begin: int, end: int) -> None:
        if answers.texts is None:
            answers.texts = self._written(answers)
        texts, tail = answers.texts
        if end - begin == 1:
            exchange.reply(200, b'{"predictions":[' + texts[begin] + tail)
        else:
            exchange.reply(200, b'{"predictions":[' + b",".join(texts[begin:end]) + tail)

    def _written(self, answers: Answers) -> tuple[list[bytes], bytes]:
        """Each row's prediction in JSON, and how an answer ends."""
        # The numbers are written as what they are, 32 bits: the shortest text that gives them back.
        numbers = orjson.dumps(
            np.ascontiguousarray(answers.probabilities), option=orjson.OPT_SERIALIZE_NUMPY
        )
        predictions = self._predictions
        texts = []
        for row, winner in zip(numbers[2:-2].split(_ROWS), answers.winners, strict=True):
            values = row.split(b",")
            texts.append(predictions[winner] % (values[winner], *values))
        return texts, self._tail % (answers.seconds * 1000)
