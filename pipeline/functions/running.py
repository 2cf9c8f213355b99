"""From a function's arguments to a run of the pipeline: the one way in for all functions."""

from __future__ import annotations

import json
import os
import re
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import anyio.to_thread
import dagger
from pydantic import TypeAdapter

from pipeline import __version__, digest, manifest, release, resources
from pipeline.environment import Environment
from pipeline.errors import EnvironmentFailed, InvalidInput, Problem
from pipeline.findings import Finding
from pipeline.functions.arguments import SbomFormat
from pipeline.functions.cluster import ToCluster
from pipeline.functions.errors import No
from pipeline.functions.settings import Settings
from pipeline.kubernetes.platforms import Platform
from pipeline.manifest import Manifest
from pipeline.manifest.source import LIMIT_BYTES
from pipeline.places.containers.databases import Databases
from pipeline.places.containers.place import ContainerPlace, Registry
from pipeline.places.containers.release import ImageRelease
from pipeline.progress import Silent
from pipeline.record import Outcome
from pipeline.release import Goal, Result
from pipeline.reports import terminal
from pipeline.runtimes.containers import Containers, Upload
from pipeline.state import State
from pipeline.tools import images

_FINDINGS = TypeAdapter(list[Finding])
ENGINE = "v0.21.8"  # as dagger.json has it
# What of the settings decides a run's result and can be said.
NAMED = (
    *("registry", "images", "package_index", "torch_index", "netrc"),
    *("trivy_db", "trivy_db_repository", "grype_db", "ca_certificates"),
)
# An object by itself prints nothing of use: what to ask it for.
SHOWN = {
    **dict.fromkeys((Goal.GOVERN, Goal.LINT, Goal.SCAN), "summary"),
    Goal.BUILD: "digest",
}
HERE = Path.cwd()
KIND = "ModelDeployment"
# A comment may name it, and a list of resources mention it: it has to be a value of `kind`.
_SAYS_SO = re.compile(rb"kind[\"']?\s*:[^\n#]*ModelDeployment")


@dataclass
class Session:
    """One function's work: its settings in the forms that the pipeline takes, and its folders."""

    settings: Settings
    room: Path
    upload: Upload

    @classmethod
    def open(cls, settings: Settings) -> Session:
        """Begin in the folder that this process was started in, which is the function's own."""
        if _in_engine():
            return cls(settings, HERE, Upload(module=True))
        # In another's program: nothing of theirs is written over, and nothing of ours stays there.
        room = Path(tempfile.mkdtemp(prefix="mlifecycle-"))
        return cls(settings, room, Upload(module=False))

    @property
    def state(self) -> State:
        """Where this run's own files lie. They end with the function."""
        return State(self.room / "state")

    async def manifest(self, file: dagger.File, *, alone: bool = False) -> Manifest:
        """The manifest with what lies beside it, on this process's disk.

        This process then works in the source's root, so that messages name the manifest by its
        path there. Raises InvalidInput.
        """
        place = await self._found(file, alone=alone)
        root = self.room / "source"
        folder = root / place.parent
        folder.mkdir(parents=True, exist_ok=True)
        await self.settings.source.directory(place.parent.as_posix()).export(str(folder))
        await file.export(str(root / place))
        os.chdir(root)
        return manifest.load(Path(place))

    async def place(self) -> ContainerPlace:
        """Where the tools run and what is built goes. Raises InvalidInput."""
        settings = self.settings
        settings.check()
        pins = images.PINNED
        if settings.images is not None:
            name = await settings.images.name()
            pins = images.load(await settings.images.contents(), f"--images {name}")
        runtime = Containers(
            pins,
            self.upload,
            settings.package_index,
            settings.ca_certificates,
            settings.netrc,
        )
        registry = None
        if settings.registry:
            registry = Registry(
                settings.registry, settings.registry_username, settings.registry_password
            )
        databases = Databases(
            runtime, settings.trivy_db, settings.trivy_db_repository, settings.grype_db
        )
        return ContainerPlace(runtime, databases, settings.torch_index, registry, settings.catalog)

    async def run(
        self,
        file: dagger.File,
        goal: Goal,
        platform: Platform | None = None,
        cluster: ToCluster | None = None,
    ) -> Ran:
        """Take the manifest to the goal. What the pipeline says no to is in the result."""
        if cluster is not None:
            cluster.check()
        loaded = await self.manifest(file, alone=goal is Goal.GOVERN)
        return await self.judge(loaded.path, goal, platform, cluster)

    async def manifests(self) -> list[Path]:
        """Every manifest of the source, laid out on this process's disk, which then works there.

        A manifest is a YAML file that says it is one. Raises InvalidInput when there is none: a
        check that looked at nothing has found nothing out.
        """
        root = self.room / "source"
        await self.settings.source.export(str(root))
        os.chdir(root)
        found = await anyio.to_thread.run_sync(_manifests_below, Path())
        if not found:
            expected = f"at least one YAML file with kind: {KIND}"
            raise InvalidInput([Problem("--source", "", "", expected, "Name another folder.")])
        return found

    async def judge(
        self,
        path: Path,
        goal: Goal,
        platform: Platform | None = None,
        cluster: ToCluster | None = None,
    ) -> Ran:
        """Take the manifest at `path`, which is laid out, to the goal."""
        policies = None
        if self.settings.policies is not None:
            policies = self.room / "policies"
            await self.settings.policies.export(str(policies))
        place = await self.place()
        request = release.Request(
            goal=goal,
            manifest=path,
            environment=Environment(self.settings.environment.value),
            state=self.state,
            policies=policies,
            policies_mode=self.settings.policies_mode.value,
            place=place if cluster is None else await cluster.around(place),
            again=self._again(goal, path, platform, cluster),
            platform=platform,
        )
        result = await release.run(request, Silent())
        return Ran(self, result)

    def _again(
        self, goal: Goal, manifest: Path, platform: Platform | None, cluster: ToCluster | None
    ) -> str:
        """The call that does the run again, in a checkout of the source.

        Which module this is it cannot know by itself: the caller does.
        """
        settings = self.settings
        words = ["dagger", "call", "-m", "MODULE", "--source", "."]
        words += ["--environment", settings.environment.name]
        if settings.policies is not None:
            words += ["--policies", "POLICIES", "--policies-mode", settings.policies_mode.name]
        for name in NAMED:
            if (value := getattr(settings, name)) is not None:
                words += ["--" + name.replace("_", "-"), _shown(name, value)]
        words += [goal.value, "--manifest", str(manifest)]
        if platform is not None:
            words += ["--for", platform.name]
        if cluster is not None:
            words += cluster.words
        return shlex.join(words + ([SHOWN[goal]] if goal in SHOWN else []))

    async def _found(self, file: dagger.File, *, alone: bool) -> PurePosixPath:
        """Where in the source the manifest lies, by its name and content.

        One that is to stand `alone` may come from elsewhere: nothing beside it is read.
        """
        name = await file.name()
        size = await file.size()
        if size > LIMIT_BYTES:
            raise _refused(
                name, f"{size} bytes", f"at most {LIMIT_BYTES} bytes", "Name a manifest."
            )
        wanted = await file.digest(exclude_metadata=True)
        found = [
            place
            for place in await self.settings.source.glob(f"**/{name}")
            if PurePosixPath(place).name == name
            and await self.settings.source.file(place).digest(exclude_metadata=True) == wanted
        ]
        if len(found) > 1:
            raise _refused(
                name,
                f"in the source {len(found)} times ({', '.join(sorted(found)[:3])})",
                "one place that its relative paths start from",
                "Name the manifest's own folder with --source.",
            )
        if not found and not alone:
            raise _refused(
                name,
                "not in the source",
                "a manifest inside the source, which its relative paths start from",
                "Name the folder that holds it with --source.",
            )
        return PurePosixPath(found[0] if found else name)


@dataclass
class Ran:
    """A run that came to its end, and what can be taken from it."""

    session: Session
    result: Result

    @property
    def passed(self) -> bool:
        """Whether the pipeline said yes."""
        return self.result.record.outcome is Outcome.PASSED

    @property
    def image(self) -> ImageRelease:
        """The release. Raises when none was built."""
        built = self.result.built
        if not isinstance(built, ImageRelease):
            raise EnvironmentFailed("The run ended without an image.")
        return built

    async def publish(self) -> str:
        """Push the image; its reference by digest."""
        settings = self.session.settings
        registry = Registry(
            settings.destination(None), settings.registry_username, settings.registry_password
        )
        image = self.image
        return await registry.publish(image.container, image.version, image.image_digest)

    async def evidence(self) -> dagger.Directory:
        """The run's folder: record, summary, and every report."""
        return (await self.session.upload.folder(self.result.folder)).without_file("lock")

    async def sbom(self, form: SbomFormat) -> dagger.File:
        """The bill of materials."""
        name = {SbomFormat.CYCLONEDX: "sbom.cdx.json", SbomFormat.SPDX: "sbom.spdx.json"}[form]
        return (await self.evidence()).file(f"reports/{name}")

    def findings(self) -> list[Finding]:
        """Every defect once, worst first."""
        place = self.result.folder / "reports" / "findings.json"
        if not place.is_file():
            return []
        return _FINDINGS.validate_python(json.loads(place.read_bytes())["findings"])

    def summary(self) -> str:
        """What came of it on one screen, with the command that does it again."""
        text = terminal.plain(self.result.record)
        return f"{text}\n{self.reproduction()}"

    def reproduction(self) -> str:
        """The command, and the digests that say whether it is given the same."""
        record = self.result.record
        digests = {
            "module": f"mlifecycle {__version__}, {digest.short(_sources())} (MODULE above)",
            "engine": ENGINE,
            "manifest": record.manifest_digest or "",
        }
        for stage in record.stages:
            known = stage.inputs | stage.outputs
            for name in ("model", "lock", "policies", "release", "image"):
                if known.get(name, "").startswith("sha256:"):
                    digests[name] = known[name]
        lines = [f"reproduce   {record.again}"]
        lines += [f"            {name.ljust(9)} {value}" for name, value in digests.items()]
        return "\n".join(lines)


def _manifests_below(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if _is_manifest(path)]


def _is_manifest(path: Path) -> bool:
    """Whether the file may be a manifest: it holds the word, in whatever spelling of YAML.

    One that is too large or broken is none to leave out: judging it says what is wrong.
    """
    if path.suffix.lower() not in (".yaml", ".yml") or not path.is_file():
        return False
    with path.open("rb") as stream:
        return _SAYS_SO.search(stream.read(LIMIT_BYTES)) is not None


def _in_engine() -> bool:
    """Whether this process is a function in the engine, and not a program with a session."""
    return "DAGGER_MODULE" in os.environ or Path("/.dagger_meta_mount").exists()


def _sources() -> str:
    return digest.of_json(
        {
            name: digest.of_folder(folder)
            for name, folder in (
                ("pipeline", resources.package()),
                ("policies", resources.folder("policies")),
                ("serving", resources.folder("serving")),
            )
        }
    )


def _shown(name: str, value: Any) -> str:
    """An argument as it may be shown: without a password, and for a file its name."""
    if not isinstance(value, str):
        return name.upper().replace("_", "-")
    scheme, separator, rest = value.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else value


def _refused(name: str, value: str, expected: str, remedy: str) -> InvalidInput:
    return InvalidInput([Problem("--manifest", name, value, expected, remedy)])


def yes(ran: Ran) -> Ran:
    """The run, when the pipeline said yes; else the call ends here with the whole report."""
    if not ran.passed:
        raise No(ran.summary())
    return ran
