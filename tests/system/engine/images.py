"""Make the images of the tests' engine and put them into the loopback registry.

    images.py CACHE REGISTRY TOOL…      (REGISTRY: host:port)

Writes CACHE/images/images.json, which maps every tool to its reference by digest, and the engine's
built-in Python SDK into CACHE/content, with its manifest's digest in CACHE/content/python-sdk.
Everything is made once and kept; only what the registry lacks is pushed.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
EPOCH = "1970-01-01T00:00:00Z"
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Programs and libraries that bring certificates of their own must use the machine's as well.
TRUST = [f"{name}={CERTIFICATES}" for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT")]

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True)
class Program:
    """A tool that is one program, where its public image has it."""

    repository: str
    path: str
    system: bool = False  # whether the public image has a shell and more beside it


PROGRAMS = {
    "cosign": Program("ghcr.io/sigstore/cosign/cosign", "ko-app/cosign"),
    "crane": Program("gcr.io/go-containerregistry/crane", "ko-app/crane"),
    "dockle": Program("docker.io/goodwithtech/dockle", "usr/local/bin/dockle", system=True),
    "gitleaks": Program("docker.io/zricethezav/gitleaks", "usr/bin/gitleaks", system=True),
    "grype": Program("docker.io/anchore/grype", "grype"),
    "kubeconform": Program("ghcr.io/yannh/kubeconform", "kubeconform"),
    "kustomize": Program("registry.k8s.io/kustomize/kustomize", "app/kustomize", system=True),
    "opa": Program("docker.io/openpolicyagent/opa", "opa"),
    "syft": Program("docker.io/anchore/syft", "syft"),
    "trivy": Program("docker.io/aquasec/trivy", "usr/local/bin/trivy", system=True),
}
# Tools that are Python packages share one image, made from requirements/scanners.txt.
PACKAGES = {
    "bandit": "docker.io/mlifecycle/scanners",
    "detect-secrets": "docker.io/mlifecycle/scanners",
    "pip-audit": "docker.io/mlifecycle/scanners",
    "safety": "docker.io/mlifecycle/scanners",
    "semgrep": "docker.io/semgrep/semgrep",
}


@dataclass(frozen=True)
class Layer:
    """One uncompressed layer."""

    file: Path
    digest: str

    @property
    def size(self) -> int:
        return self.file.stat().st_size


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


class Layers:
    """Layers by the digest of what they are made from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, name: str, inputs: str, make: Callable[[Path], None]) -> Layer:
        key = hashlib.sha256(f"{name}\n{inputs}".encode()).hexdigest()[:16]
        file = self.folder / f"{name}-{key}.tar"
        note = file.with_suffix(".digest")
        if not note.exists():
            print(f"Making the layer {name} …", file=sys.stderr)
            new = file.with_suffix(".new")
            make(new)
            new.rename(file)
            # Last: a layer without this note is not whole.
            note.write_text(digest_of_file(file))
        return Layer(file, note.read_text())

    def of_files(self, name: str, files: dict[str, Path | bytes], mode: int = 0o755) -> Layer:
        """A layer of these files by their path in the image, owned by root, without a time."""
        inputs = [
            (path, digest_of(data) if isinstance(data, bytes) else digest_of_file(data))
            for path, data in sorted(files.items())
        ]

        def make(target: Path) -> None:
            with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
                for folder in sorted({p for path in files for p in Path(path).parents}):
                    if folder != Path():
                        entry = tarfile.TarInfo(str(folder))
                        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                        if str(folder) == "tmp":
                            entry.mode = 0o1777
                        tar.addfile(entry)
                for path, data in sorted(files.items()):
                    entry = tarfile.TarInfo(path)
                    entry.mode = mode
                    if isinstance(data, bytes):
                        entry.size = len(data)
                        tar.addfile(entry, io.BytesIO(data))
                        continue
                    entry.size = data.stat().st_size
                    with data.open("rb") as file:
                        tar.addfile(entry, file)

        return self.get(name, repr((inputs, mode)), make)


def run(*command: str | Path, **options: object) -> None:
    """Run a command; what it prints goes to the error stream."""
    subprocess.run([str(part) for part in command], check=True, stdout=sys.stderr, **options)  # type: ignore[call-overload]


# Debian with the Python of serving/Dockerfile's base image, laid out as that image is.
DEBIAN = (
    "mmdebstrap",
    "--quiet",
    "--variant=minbase",
    "--format=tar",
    "--include=ca-certificates,python3,python3-venv,python3-pip",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    # The public image lets pip install into it and calls its Python `python`.
    '--customize-hook=rm -f "$1"/usr/lib/python3.11/EXTERNALLY-MANAGED',
    "--customize-hook=for name in python python3 python3.11; do "
    'ln -s /usr/bin/python3.11 "$1/usr/local/bin/$name"; done',
    "bookworm",
)


def make_scanners(debian: Path) -> Callable[[Path], None]:
    """The Python tools, installed inside Debian so that their interpreter's path is right."""

    def make(target: Path) -> None:
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            inside = Path(folder)
            run("tar", "-C", inside, "-xf", debian)
            shutil.copy("/etc/resolv.conf", inside / "etc/resolv.conf")
            shutil.copy(CERTIFICATES, inside / str(CERTIFICATES).lstrip("/"))
            shutil.copy(ROOT / "requirements/scanners.txt", inside / "requirements.txt")
            passed = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "http_proxy", "https_proxy")
            environment = {name: os.environ[name] for name in passed if name in os.environ}
            environment |= {"PATH": SEARCH_PATH, "PIP_CERT": str(CERTIFICATES), "HOME": "/root"}
            chroot = ("chroot", inside)
            run(*chroot, "python3", "-m", "venv", "/opt/scanners", env=environment)
            pip = (*chroot, "/opt/scanners/bin/pip", "install", "--quiet", "--no-cache-dir")
            run(*pip, "--require-hashes", "-r", "/requirements.txt", env=environment)
            owned = ("--owner=0", "--group=0", "--numeric-owner", "--sort=name")
            run("tar", "-C", inside, *owned, "-cf", target, "opt/scanners")

    return make


def image(layers: list[Layer], entrypoint: list[str], path: str) -> tuple[bytes, bytes]:
    """The configuration and the manifest of an image."""
    configuration = json.dumps(
        {
            "architecture": "amd64" if os.uname().machine == "x86_64" else "arm64",
            "os": "linux",
            "created": EPOCH,
            "config": {"Env": [f"PATH={path}", *TRUST], "Entrypoint": entrypoint},
            "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
            "history": [{"created": EPOCH} for _ in layers],
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": CONFIG,
                "digest": digest_of(configuration),
                "size": len(configuration),
            },
            "layers": [
                {"mediaType": LAYER, "digest": layer.digest, "size": layer.size} for layer in layers
            ],
        }
    ).encode()
    return configuration, manifest


class Registry:
    """The loopback registry, which answers for every registry that the engine knows."""

    def __init__(self, address: str) -> None:
        self.connection = http.client.HTTPConnection(address, timeout=120)

    def request(
        self, method: str, path: str, body: object = None, kind: str = "application/octet-stream"
    ) -> http.client.HTTPResponse:
        headers = {"Content-Type": kind, "Accept": MANIFEST}
        if isinstance(body, io.BufferedReader):
            headers["Content-Length"] = str(os.fstat(body.fileno()).st_size)
        self.connection.request(method, path, body, headers)  # type: ignore[arg-type]
        answer = self.connection.getresponse()
        answer.read()
        if answer.status >= 400 and method != "HEAD":
            raise SystemExit(f"The registry answers {answer.status} to {method} {path}.")
        return answer

    def has(self, path: str) -> bool:
        return self.request("HEAD", path).status == 200

    def blob(self, name: str, digest: str, data: Path | bytes) -> None:
        if self.has(f"/v2/{name}/blobs/{digest}"):
            return
        # Layers that several images share are stored once.
        start = f"/v2/{name}/blobs/uploads/?mount={digest}&from=library/python"
        answer = self.request("POST", start)
        if answer.status == 201:
            return
        where = answer.headers["Location"]
        where += ("&" if "?" in where else "?") + f"digest={digest}"
        if isinstance(data, bytes):
            self.request("PUT", where, data)
        else:
            with data.open("rb") as file:
                self.request("PUT", where, file)

    def push(
        self,
        repository: str,
        layers: list[Layer],
        entrypoint: list[str],
        path: str = SEARCH_PATH,
        tag: str = "",
    ) -> str:
        """Push an image; its reference by digest."""
        configuration, manifest = image(layers, entrypoint, path)
        name, digest = repository.partition("/")[2], digest_of(manifest)
        if not self.has(f"/v2/{name}/manifests/{tag or digest}"):
            print(f"Pushing {repository} …", file=sys.stderr)
        for layer in layers:
            self.blob(name, layer.digest, layer.file)
        self.blob(name, digest_of(configuration), configuration)
        for reference in filter(None, (tag, digest)):
            self.request("PUT", f"/v2/{name}/manifests/{reference}", manifest, MANIFEST)
        return f"{repository}{':' * bool(tag)}{tag}@{digest}"


def write_sdk(layers: Layers, content: Path, uv: Path) -> None:
    """The engine's built-in Python SDK: the runtime beside this file, with uv."""
    files: dict[str, Path | bytes] = {
        f"runtime/{file.name}": file for file in (HERE / "runtime").iterdir() if file.is_file()
    }
    layer = layers.of_files("python-sdk", files | {"dist/uv": uv})
    configuration, manifest = image([layer], [], SEARCH_PATH)
    blobs = content / "blobs/sha256"
    shutil.rmtree(content, ignore_errors=True)
    blobs.mkdir(parents=True)
    for data in (configuration, manifest):
        (blobs / digest_of(data).removeprefix("sha256:")).write_bytes(data)
    os.link(layer.file, blobs / layer.digest.removeprefix("sha256:"))
    (content / "python-sdk").write_text(digest_of(manifest))


def install_uv(folder: Path) -> Path:
    """The uv that requirements/uv.txt pins."""
    wanted = ROOT / "requirements/uv.txt"
    note = folder / "requirements"
    if not note.exists() or note.read_text() != wanted.read_text():
        shutil.rmtree(folder, ignore_errors=True)
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--root-user-action=ignore")
        run(*pip, "--no-deps", "--require-hashes", "--target", folder, "-r", wanted)
        note.write_text(wanted.read_text())
    return folder / "bin/uv"


def main() -> None:
    cache, address, tools = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    programs = cache.parent / "bin"
    layers, registry = Layers(cache / "images"), Registry(address)
    uv = install_uv(cache / "uv")
    write_sdk(layers, cache / "content", uv)

    debian = layers.get("debian", repr(DEBIAN), lambda target: run(*DEBIAN, target))
    trust = layers.of_files("trust", {str(CERTIFICATES).lstrip("/"): CERTIFICATES}, mode=0o644)
    empty = layers.of_files(
        "empty",
        {
            "etc/passwd": b"root:x:0:0:root:/root:/sbin/nologin\n",
            "etc/group": b"root:x:0:\n",
            "tmp/.keep": b"",
        },
        mode=0o644,
    )
    scanners = layers.get(
        "scanners",
        debian.digest + (ROOT / "requirements/scanners.txt").read_text(),
        make_scanners(debian.file),
    )
    system, bare = [debian, trust], [empty, trust]

    references = {
        "python": registry.push("docker.io/library/python", system, [], tag="3.11-slim"),
        "uv": registry.push(
            "ghcr.io/astral-sh/uv", [*system, layers.of_files("uv", {"uv": uv})], ["/uv"]
        ),
    }
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(scanners.file) as tar:
            tar.extract("opt/scanners/bin/hadolint", folder, filter="data")
        hadolint = layers.of_files(
            "hadolint", {"bin/hadolint": Path(folder) / "opt/scanners/bin/hadolint"}
        )
    references["hadolint"] = registry.push("docker.io/hadolint/hadolint", [*bare, hadolint], [])
    for tool, repository in PACKAGES.items():
        path = f"/opt/scanners/bin:{SEARCH_PATH}"
        references[tool] = registry.push(repository, [*system, scanners], [], path)
    for tool in tools:
        program = PROGRAMS[tool]
        layer = layers.of_files(tool, {program.path: programs / tool})
        references[tool] = registry.push(
            program.repository,
            [*(system if program.system else bare), layer],
            ["/" + program.path],
        )
    new = cache / "images/images.json.new"
    new.write_text(json.dumps(references, indent=2, sort_keys=True) + "\n")
    new.rename(cache / "images/images.json")


if __name__ == "__main__":
    main()
