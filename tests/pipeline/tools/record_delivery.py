"""Record kustomize's, kubeconform's and cosign's reports anew; see reports/README.md.

With programs that `tests/system/tools/install.sh kustomize kubeconform cosign crane` builds.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import image_inputs as given
import planted_defects as planted
import planted_images as images
from record import instead, keep, plus

from pipeline import image_reference
from pipeline import manifest as manifests
from pipeline.environment import Environment
from pipeline.image_reference import ImageReference
from pipeline.kubernetes import kustomization
from pipeline.kubernetes.kustomization import OWN, SHARED
from pipeline.resources import folder as bundled
from pipeline.tools import cosign, kubeconform, kustomize

EXAMPLE = Path(__file__).parents[3] / "examples" / "valid" / "model-manifest.yaml"
IMAGE = f"registry.test/models/fraud-detector:1.2.0@sha256:{'0123456789abcdef' * 4}"

OBJECTS = {
    "valid": """\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {A: "1"}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: model}
""",
    "invalid": """\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {A: 1}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: model}
automountServiceAccountToken: "no"
rights: all
---
apiVersion: v1
kind: ConfigMap
metadata: {name: more}
""",
    "unknown-kind": """\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
---
apiVersion: example.test/v1
kind: Model
metadata: {name: model}
""",
    "given-twice": """\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
metadata: {name: others}
""",
    "broken": "a: [\n",
    "nothing": "---\n# nothing\n",
}
KUSTOMIZATIONS = {
    "missing-base": {"kustomization.yaml": "resources: [../absent]\n"},
    "unknown-field": {"kustomization.yaml": "resource: [a.yaml]\n"},
    "broken": {"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": "a: [\n"},
    "nothing": {"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": "# nothing\n"},
}


def record_kustomize(room: Path) -> None:
    image = image_reference.parse(IMAGE)
    assert image is not None
    files = kustomization.files(manifests.load(EXAMPLE), image, Environment.PROD)
    own = planted.write(room / "own", {name: data.decode() for name, data in files.items()})
    inputs = {SHARED: bundled("kustomize"), OWN: own}
    keep(kustomize.NAME, "objects", kustomize.build(inputs, OWN))
    for name, content in KUSTOMIZATIONS.items():
        own = planted.write(room / name, content)
        keep(kustomize.NAME, name, kustomize.build({OWN: own}, OWN))


def record_kubeconform(room: Path) -> None:
    schemas = bundled("kustomize") / "schemas"
    planted.write(room, {f"{name}.yaml": text for name, text in OBJECTS.items()})
    for name in OBJECTS:
        inputs = {kubeconform.OBJECTS: room / f"{name}.yaml", kubeconform.SCHEMAS: schemas}
        keep(kubeconform.NAME, name, kubeconform.invocation(inputs))
    inputs = {kubeconform.OBJECTS: room / "valid.yaml", kubeconform.SCHEMAS: schemas}
    skipping = instead("-strict", "-skip=ConfigMap")(kubeconform.invocation(inputs))
    keep(kubeconform.NAME, "skipped", skipping)
    keep(kubeconform.NAME, "missing", kubeconform.invocation({kubeconform.SCHEMAS: schemas}))


def record_cosign(room: Path) -> None:
    mine, others = key_pair(room / "mine"), key_pair(room / "others")
    with registry(room) as address:
        signed = push(address, "models/fraud", images.good(room / "good.tar"))
        unsigned = push(address, "models/other", images.bad(room / "bad.tar"))
        port_of_the_day = {address: "registry.test"}

        def sign(case: str, **secrets: str) -> None:
            keep(cosign.NAME, case, plus(**secrets)(cosign.sign(signed)), port_of_the_day)

        def verify(case: str, image: ImageReference, pair: Path) -> None:
            call = cosign.verify(image, pair / cosign.PUBLIC_KEY)
            keep(cosign.NAME, case, call, port_of_the_day)

        key = (mine / "cosign.key").read_text()
        sign("sign-no-key", COSIGN_PASSWORD="")
        sign("sign-wrong-password", COSIGN_PRIVATE_KEY=key, COSIGN_PASSWORD="wrong")  # noqa: S106
        sign("sign", COSIGN_PRIVATE_KEY=key, COSIGN_PASSWORD="")
        verify("verify", signed, mine)
        verify("verify-unsigned", unsigned, mine)
        verify("verify-other-key", signed, others)
    verify("verify-no-registry", signed, mine)


def key_pair(folder: Path) -> Path:
    folder.mkdir()
    environment = {"COSIGN_PASSWORD": "", "HOME": str(folder)}
    command = [str(given.PROGRAMS / "cosign"), "generate-key-pair"]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return folder


@contextmanager
def registry(room: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [str(given.PROGRAMS / "crane"), "registry", "serve", "--address", address]
    with subprocess.Popen(command, env={"HOME": str(room)}, stderr=subprocess.DEVNULL) as process:
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", int(address.partition(":")[2]))).close()
                    break
                except OSError:
                    time.sleep(0.05)
            yield address
        finally:
            process.terminate()


def push(address: str, name: str, archive: Path) -> ImageReference:
    command = [str(given.PROGRAMS / "crane"), "push", str(archive), f"{address}/{name}:1"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    pushed = image_reference.parse(done.stdout.strip())
    assert pushed is not None
    return pushed


RECORDED = {
    kustomize.NAME: record_kustomize,
    kubeconform.NAME: record_kubeconform,
    cosign.NAME: record_cosign,
}


def main(room: Path) -> None:
    os.environ["MLIFECYCLE_TOOLS"] = str(given.PROGRAMS)
    for tool in sys.argv[1:] or RECORDED:
        (room / tool).mkdir()
        RECORDED[tool](room / tool)
    for path in sorted((Path(__file__).parent / "reports").glob("*/*.json")):
        if path.parent.name in RECORDED:
            said = json.loads(path.read_text())
            print(f"{path.parent.name}/{path.stem}: exit code {said['exit_code']}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="mlifecycle-") as place:
        main(Path(place))
