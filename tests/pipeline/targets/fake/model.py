"""A stand-in for serving.model, with the ways in which a model may not load."""

import os
import time

from serving.errors import ServingError


def load(settings):
    if settings.mode == "refused":
        raise ServingError("the model file is not the one that the release names")
    if settings.mode == "broken":
        raise ValueError("weights of another shape")
    if settings.mode == "crash":
        print("Illegal instruction in the tensor library", flush=True)
        os._exit(7)
    if settings.mode == "hang":
        time.sleep(600)
    return settings
