#!/opt/venv/bin/python
"""Answer one call of the engine, as the official SDK's entry point does, or describe the module."""

import os
import re
import sys

name = os.environ["DAGGER_MODULE"]
words = re.split(r"[-_. ]+", name)
os.environ.setdefault("DAGGER_MAIN_OBJECT", "".join(word[:1].upper() + word[1:] for word in words))
os.environ.setdefault("DAGGER_DEFAULT_PYTHON_PACKAGE", name.replace("-", "_"))

from dagger.mod.cli import app  # noqa: E402  (it reads the variables when it is imported)

sys.exit(app(register="--register" in sys.argv))
