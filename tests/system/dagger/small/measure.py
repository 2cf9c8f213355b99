"""What the build asks of a server before it makes a release; this one computes nothing."""

from __future__ import annotations

import json

if __name__ == "__main__":
    result = {"mode": "drain", "batch": 64, "row_seconds": 1e-5, "batch_seconds": 2e-5}
    print(json.dumps({**result, "gain": 32.0, "worth": 1.2}))
