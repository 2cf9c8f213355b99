"""The release's model as the peers load it: on one thread, without gradients."""

import os

import torch


def load():
    torch.set_num_threads(1)
    return torch.export.load(os.environ["MODEL"]).module()


def answer(model, rows):
    """Probabilities (n x 2) of rows (n x features)."""
    with torch.inference_mode():
        return model(torch.as_tensor(rows, dtype=torch.float32))
