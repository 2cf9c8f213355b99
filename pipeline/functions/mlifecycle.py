"""The main object: its constructor's arguments hold for every function."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated

import dagger
from dagger import Doc

from pipeline.functions import repository
from pipeline.functions.arguments import (
    ApiKey,
    ApiServer,
    CanaryPods,
    CanarySeconds,
    Certificates,
    ContextName,
    Demands,
    Environment,
    ForceConflicts,
    ForOperator,
    GrypeDatabase,
    Images,
    Kubeconfig,
    ManifestFile,
    Mode,
    Netrc,
    Operator,
    PackageIndex,
    Policies,
    PoliciesMode,
    ReadyTimeout,
    Registry,
    RegistryPassword,
    RegistryUsername,
    RolloutStrategy,
    SbomFormat,
    Source,
    Strategy,
    TorchIndex,
    Tracking,
    TrivyDatabase,
    TrivyRepository,
)
from pipeline.functions.cluster import CANARY_PODS, CANARY_SECONDS, READY_SECONDS, ToCluster
from pipeline.functions.errors import No, in_words
from pipeline.functions.image import Image
from pipeline.functions.release import Release
from pipeline.functions.running import Session, yes
from pipeline.functions.scan_report import ScanReport
from pipeline.functions.sdk import check, function, object_type
from pipeline.functions.settings import Settings
from pipeline.functions.verdict import Verdict
from pipeline.kubernetes.platforms import Platform
from pipeline.places.containers import doctor as doctors
from pipeline.places.containers.service import PORT
from pipeline.release import Goal


@object_type
class Mlifecycle:
    """From a model manifest to a governed, verified and catalogued inference image."""

    source: Source
    environment: Demands = Environment.LOCAL
    policies: Policies = None
    policies_mode: Mode = PoliciesMode.EXTEND
    registry: Registry = None
    registry_username: RegistryUsername = None
    registry_password: RegistryPassword = None
    images: Images = None
    package_index: PackageIndex = None
    torch_index: TorchIndex = None
    netrc: Netrc = None
    trivy_db: TrivyDatabase = None
    trivy_db_repository: TrivyRepository = None
    grype_db: GrypeDatabase = None
    ca_certificates: Certificates = None
    catalog: Tracking = None

    @function()
    async def validate(self, manifest: ManifestFile) -> str:
        """Check that a manifest is well-formed: every problem at once, by line."""
        async with in_words():
            loaded = await Session.open(self._settings).manifest(manifest, alone=True)
            model = loaded.model.spec.model
            return f"{loaded.path} is valid: {model.name} {model.version}, {loaded.digest}"

    @function(cache="never")
    async def govern(self, manifest: ManifestFile) -> Verdict:
        """Judge a manifest against the policies, without building anything."""
        async with in_words():
            ran = await Session.open(self._settings).run(manifest, Goal.GOVERN)
            record = ran.result.record
            stage = next(stage for stage in record.stages if stage.stage == "govern")
            return Verdict.of(stage, record, ran.summary())

    @function(cache="never")
    async def lint(self, manifest: ManifestFile) -> ScanReport:
        """Scan what was written by hand: the sources beside the manifest, server, Dockerfile."""
        async with in_words():
            return await ScanReport.of(await Session.open(self._settings).run(manifest, Goal.LINT))

    @function(cache="never")
    async def build(self, manifest: ManifestFile) -> Image:
        """Judge the manifest and build the image: server, model and locked dependencies."""
        async with in_words():
            ran = yes(await Session.open(self._settings).run(manifest, Goal.BUILD))
            image = ran.image
            return Image(
                container=image.container,
                tarball=image.container.as_tarball(),
                digest=image.image_digest,
                release=image.digest,
                version=image.version,
                manifest=manifest,
                settings=self._settings,
            )

    @function(cache="never")
    async def scan(self, manifest: ManifestFile) -> ScanReport:
        """Build the image and scan it, and all it was made from, with every scanner."""
        async with in_words():
            return await ScanReport.of(await Session.open(self._settings).run(manifest, Goal.SCAN))

    @function(cache="never")
    async def sbom(
        self,
        manifest: ManifestFile,
        format: Annotated[SbomFormat, Doc("The form of it")] = SbomFormat.CYCLONEDX,  # noqa: A002
    ) -> dagger.File:
        """Build the image and write the bill of materials of what is installed in it."""
        async with in_words():
            ran = yes(await Session.open(self._settings).run(manifest, Goal.SBOM))
            return await ran.sbom(format)

    @function(cache="never")
    async def render(
        self, manifest: ManifestFile, for_: ForOperator = Operator.NONE
    ) -> dagger.File:
        """Build the image and write the Kubernetes objects that run it, judged, as one YAML."""
        async with in_words():
            platform = Platform(for_.value) if for_ is not Operator.NONE else None
            session = Session.open(self._settings)
            ran = yes(await session.run(manifest, Goal.RENDER, platform))
            return (await ran.evidence()).file("reports/rendered.yaml")

    @function(cache="never")
    async def publish(self, manifest: ManifestFile) -> str:
        """Judge, build and examine the image, then push it; its reference by digest."""
        async with in_words():
            self._settings.destination(None)
            ran = yes(await Session.open(self._settings).run(manifest, Goal.PUBLISH))
            return await ran.publish()

    @function(cache="never")
    async def deploy(
        self,
        manifest: ManifestFile,
        kubeconfig: Kubeconfig = None,
        context: ContextName = None,
        api_key: ApiKey = None,
        api_server: ApiServer = None,
        strategy: RolloutStrategy = Strategy.ROLLING,
        canary_pods: CanaryPods = CANARY_PODS,
        canary_seconds: CanarySeconds = CANARY_SECONDS,
        timeout: ReadyTimeout = READY_SECONDS,  # noqa: ASYNC109 - for the pods, not for the call
        force_conflicts: ForceConflicts = False,
    ) -> str:
        """Take a manifest all the way: judged, built, scanned, proved, published, registered.

        With a kubeconfig it is proved in the cluster, and serves there when the call ends; what
        served before comes back when it is no good. Fails with the whole report when the pipeline
        says no. evidence has every tool's report.
        """
        async with in_words():
            to = ToCluster(
                kubeconfig=kubeconfig,
                api_key=api_key,
                context=context,
                api_server=api_server,
                strategy=strategy,
                canary_pods=canary_pods,
                canary_seconds=canary_seconds,
                timeout=timeout,
                force_conflicts=force_conflicts,
            )
            ran = await Session.open(self._settings).run(manifest, Goal.DEPLOY, cluster=to)
            return yes(ran).summary()

    @function(cache="never")
    async def release(
        self,
        manifest: ManifestFile,
        kubeconfig: Kubeconfig = None,
        context: ContextName = None,
        api_key: ApiKey = None,
        api_server: ApiServer = None,
        strategy: RolloutStrategy = Strategy.ROLLING,
        canary_pods: CanaryPods = CANARY_PODS,
        canary_seconds: CanarySeconds = CANARY_SECONDS,
        timeout: ReadyTimeout = READY_SECONDS,  # noqa: ASYNC109 - for the pods, not for the call
        force_conflicts: ForceConflicts = False,
    ) -> Release:
        """As deploy, as an object to chain."""
        async with in_words():
            to = ToCluster(
                kubeconfig=kubeconfig,
                api_key=api_key,
                context=context,
                api_server=api_server,
                strategy=strategy,
                canary_pods=canary_pods,
                canary_seconds=canary_seconds,
                timeout=timeout,
                force_conflicts=force_conflicts,
            )
            ran = await Session.open(self._settings).run(manifest, Goal.DEPLOY, cluster=to)
            served = ran.result.served
            return Release(
                passed=ran.passed,
                reference=served.url if served else "",
                digest=ran.result.record.release or "",
                evidence=await ran.evidence(),
                text=ran.summary(),
                record=ran.result.record.model_dump_json(),
            )

    @function(cache="never")
    async def evidence(self, manifest: ManifestFile) -> dagger.Directory:
        """All that deploy rests on, with the same arguments: record, summary and every report.

        Nothing is started, published or registered, and a no does not fail the call.
        """
        async with in_words():
            ran = await Session.open(self._settings).run(manifest, Goal.EVIDENCE)
            folder = await ran.evidence()
            return folder.with_new_file("summary.txt", ran.summary() + "\n")

    @function(cache="never")
    async def serve(self, manifest: ManifestFile) -> dagger.Service:
        """Build the image and run it: `up --ports 8080:8000`, then ask localhost:8080/predict."""
        async with in_words():
            ran = yes(await Session.open(self._settings).run(manifest, Goal.BUILD))
            return ran.image.container.with_exposed_port(PORT).as_service(use_entrypoint=True)

    @function(cache="never")
    async def doctor(self) -> str:
        """Say what this engine has of what the pipeline needs, and how to get the rest."""
        async with in_words():
            place = await Session.open(self._settings).place()
            return await doctors.report(place)

    @check
    @function(cache="never")
    async def manifests(self) -> None:
        """Judge every model manifest of the repository; fails when one is refused."""
        async with in_words():
            refused = await repository.judged(self._settings)
            if refused:
                raise No("\n\n".join(refused))

    @property
    def _settings(self) -> Settings:
        return Settings(**{each.name: getattr(self, each.name) for each in fields(Settings)})
