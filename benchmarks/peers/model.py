"""The model as the peers load it: on one thread, without gradients and without torch.export's
guards."""

import os

import torch


def load():
    torch.set_num_threads(1)
    # Written by this benchmark itself.
    return torch.load(os.environ["MODEL"], weights_only=False)


def answer(model, rows):
    """Probabilities (n x 2) of rows (n x features)."""
    with torch.inference_mode():
        return model(torch.as_tensor(rows, dtype=torch.float32))
