"""Inputs with planted defects: what the recorded reports and the live tests are made from."""

from __future__ import annotations

from pathlib import Path

# Split, so that no scanner of this repository takes it for a real key.
AWS_KEY = "AKIA" + "IOSFODNN7QQPLKJH"

BAD_DOCKERFILE = """\
FROM python:latest
# hadolint ignore=DL3020
ADD . /app
RUN cd /app && pip install flask
CMD python app.py
"""

CLEAN_DOCKERFILE = """\
FROM python:3.11-slim@sha256:e41613d42d4891e4930f79523f93f81bbc7632584ec65e36ab055f41a800b41e
USER 10001
CMD ["python"]
"""

BAD_SOURCE = f"""\
import pickle
import subprocess

import requests
import torch
import yaml

AWS_ACCESS_KEY_ID = "{AWS_KEY}"  # pragma: allowlist secret


def load(path, expression):
    subprocess.run("cat " + path, shell=True)
    with open(path, "rb") as stream:
        first = pickle.load(stream)  # nosec  # nosemgrep
    second = torch.load(path)
    third = yaml.load(open(path))
    requests.get("https://example.test", verify=False, timeout=1)
    return eval(expression), first, second, third
"""

# One line for each of our semgrep rules that BAD_SOURCE leaves out, in a folder that semgrep
# would skip by itself.
BAD_TEST_SOURCE = """\
import logging
import os
import tarfile
import tempfile

import numpy as np
import torch
import uvicorn

log = logging.getLogger()


def act(token, app, path):
    log.info("the token is %s", token)
    log.info(f"the token is {token}")
    print(token)
    os.system("cat " + path)
    tempfile.mktemp()
    np.load(path, allow_pickle=True)
    torch.hub.load(path, path)
    uvicorn.run(app, host="0.0.0.0")
    app.run(debug=True)
    tarfile.open(path).extractall()
    AutoModel.from_pretrained(path, trust_remote_code=True)
    app.add_middleware(Cors, allow_origins=["*"], allow_credentials=True)
"""

GOOD_SOURCE = """\
import logging
import tarfile

import torch
import yaml

log = logging.getLogger()


def load(path, token):
    log.info("the token was read")
    tarfile.open(path).extractall(path, filter="data")
    return torch.load(path, weights_only=True), yaml.safe_load(path), token
"""

LOCK = """\
jinja2==2.4.1 \\
    --hash=sha256:5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9
requests==2.32.5 \\
    --hash=sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b
"""


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def bad_submission(folder: Path) -> Path:
    """Bad sources, and the files by which a submitter might hope to hide them."""
    return write(
        folder,
        {
            "train.py": BAD_SOURCE,
            "tests/swagger.py": BAD_TEST_SOURCE + f'\nkey = "{AWS_KEY}"\n',
            ".semgrepignore": "tests\n*.py\n",
            ".gitignore": "*.py\n",
            ".bandit": "[bandit]\nskips: B301,B602\nexclude: /train.py\n",
        },
    )


def good_submission(folder: Path) -> Path:
    return write(folder, {"train.py": GOOD_SOURCE, "notes.md": "Nothing to hide.\n"})
