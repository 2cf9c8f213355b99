"""How the model is to be run: resources, access, probes, golden inputs, rollback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pipeline.manifest.fields import CLUSTER, Section, field, section
from pipeline.manifest.values import (
    CpuQuantity,
    DnsLabel,
    Duration,
    HostName,
    KeySetUrl,
    Line,
    MemoryQuantity,
    Name,
    Share,
    Uri,
)

_TOKENS = f"Judged: KD-ING-002. {CLUSTER}the pods' settings. Without its token a request gets 401."

DEFAULT_TOLERANCE = 0.001
LANE_TOLERANCE = 0.00001


class Amounts(Section):
    """An amount of CPU and of memory."""

    cpu: CpuQuantity | None = field(
        "CPU cores.", f"Judged: MG-RES-001. {CLUSTER}the container's resources.", None
    )
    memory: MemoryQuantity | None = field(
        "Memory.", f"Judged: MG-RES-002. {CLUSTER}the container's resources.", None
    )


class Resources(Section):
    """What one replica is given."""

    requests: Amounts | None = section("What is set aside for one replica.", None)
    limits: Amounts | None = section("What one replica may not exceed.", None)


class Autoscaling(Section):
    """How the number of replicas follows the load."""

    enabled: bool = field(
        "Whether replicas follow the load; the other three are then required.",
        f"{CLUSTER}a HorizontalPodAutoscaler, or none.",
    )
    min_replicas: int | None = field(
        "The fewest replicas.", f"{CLUSTER}the autoscaler's lower bound.", None, ge=1, le=1000
    )
    max_replicas: int | None = field(
        "The most replicas.", f"{CLUSTER}the autoscaler's upper bound.", None, ge=1, le=1000
    )
    target_cpu_utilization: int | None = field(
        "The CPU use to aim for, in percent of the request.",
        f"{CLUSTER}the autoscaler's target.",
        None,
        ge=1,
        le=100,
    )


class Ingress(Section):
    """The way in from outside the cluster. Without it there is none."""

    host: HostName = field(
        "The host name under which the model is asked.",
        f"{CLUSTER}an Ingress for /predict, or none.",
    )
    tls_secret: DnsLabel | None = field(
        "The Secret of the namespace that holds the host's certificate and key.",
        f"Judged: KD-ING-001. {CLUSTER}the Ingress's TLS, or none.",
        None,
    )


class Tokens(Section):
    """Tokens (JWT) that an issuer signs for those who may ask."""

    issuer: Line = field("The `iss` of its tokens.", _TOKENS)
    audience: Line = field("What their `aud` must hold.", _TOKENS)
    key_set: KeySetUrl = field(
        "Where the issuer publishes its public keys (a JWKS).",
        f"{_TOKENS} The way there is opened in the NetworkPolicy.",
    )


class Access(Section):
    """Who may ask the model in a cluster: callers with keys, with tokens, or with either.

    Without it everybody whom the network lets through.
    """

    keys_secret: DnsLabel | None = field(
        "The Secret of the namespace that holds the hashes of the API keys under `keys.json`, as "
        "`python -m serving keys` writes them.",
        f"Judged: KD-ING-002. {CLUSTER}a volume of the pods, and their settings. Without a key a "
        "request gets 401.",
        None,
    )
    tokens: Tokens | None = section("Whose tokens are taken.", None)


class _Probe(Section):
    initial_delay_seconds: int = field(
        "How long to wait before the first probe.", f"{CLUSTER}the probe.", 5, ge=0, le=3600
    )
    period_seconds: int = field(
        "How long to wait between probes.", f"{CLUSTER}the probe.", 10, ge=1, le=3600
    )
    timeout_seconds: int = field(
        "How long an answer may take.", f"{CLUSTER}the probe.", 2, ge=1, le=600
    )
    failure_threshold: int = field(
        "How many probes in a row may fail.", f"{CLUSTER}the probe.", 3, ge=1, le=100
    )


class HealthCheck(_Probe):
    """Whether a replica must be restarted."""

    path: Literal["/health"] = field(
        "The server's liveness path.", f"{CLUSTER}the liveness probe.", "/health"
    )


class ReadinessCheck(_Probe):
    """Whether a replica may get requests."""

    path: Literal["/ready"] = field(
        "The server's readiness path.", f"{CLUSTER}the readiness probe.", "/ready"
    )


class Expected(Section):
    """The answer that a golden input must get."""

    prediction: Name = field(
        "The class that must be predicted; one of the signature's.",
        "Another prediction keeps the new version from traffic.",
    )
    probabilities: Mapping[Name, Share] | None = field(
        "The probability of every class; together they make 1.",
        "Another probability keeps the new version from traffic.",
        None,
    )
    tolerance: float = field(
        "How far each probability may be off.",
        "Widens or narrows what counts as the same probability.",
        DEFAULT_TOLERANCE,
        gt=0,
        le=0.5,
    )


class GoldenInput(Section):
    """An input whose answer is known: asked before a new version gets any traffic."""

    name: Line = field("What the case shows.", "Names the case when it fails.")
    instance: Mapping[Name, float] = field(
        "A value for every feature of the signature, within its range.",
        "Sent to the new version before it gets traffic.",
        min_length=1,
    )
    expected: Expected = section("The answer that it must get.")


class Agreement(Section):
    """How near ONNX Runtime must come to torch before it may take torch's place."""

    held_out: Uri | None = field(
        "A CSV file with a column for each feature: a path inside the manifest's folder. Its rows "
        "are asked of both.",
        "The build compares the two on them. `lane: auto` needs them.",
        None,
    )
    tolerance: float = field(
        "How far apart a probability may be. The class must always be the same.",
        "Farther apart, `lane: auto` takes torch, and `lane: onnx` is refused.",
        LANE_TOLERANCE,
        gt=0,
        le=0.01,
    )


class Inference(Section):
    """How the server is run and how it is known to work."""

    lane: Literal["torch", "onnx", "auto"] = field(
        "What computes: torch, or ONNX Runtime on the model converted to ONNX, which starts "
        "faster and needs a fraction of the memory. `auto` is ONNX Runtime if the two agree.",
        "The release's packages, its model file, and what the server loads.",
        "torch",
    )
    agreement: Agreement = section(
        "How near ONNX Runtime must come to torch, where the lane is not torch.", Agreement()
    )
    batching: Literal["auto", "inline", "drain"] = field(
        "Whether rows that wait are computed together (`drain`) or each request by itself "
        "(`inline`). `auto` lets the build measure which is better for this model.",
        "How the server asks the model.",
        "auto",
    )

    replicas: int = field(
        "How many replicas run when nothing scales them.",
        f"{CLUSTER}the Deployment's replicas. The process target runs one server.",
        1,
        ge=1,
        le=1000,
    )
    resources: Resources | None = section("What one replica is given.", None)
    autoscaling: Autoscaling | None = section("How replicas follow the load.", None)
    ingress: Ingress | None = section("The way in from outside the cluster.", None)
    access: Access | None = section("Who may ask the model in a cluster.", None)
    health_check: HealthCheck = section(
        "Whether a replica must be restarted.", HealthCheck(), alias="healthCheck"
    )
    readiness_check: ReadinessCheck = section(
        "Whether a replica may get requests.", ReadinessCheck(), alias="readinessCheck"
    )
    golden_inputs: tuple[GoldenInput, ...] = section(
        "Inputs whose answers are known; at least one.", min_length=1, max_length=100
    )


class ErrorRateTrigger(Section):
    """A new version that fails too often does not stay."""

    threshold: Share = field(
        "The share of failed requests that is too much.",
        f"A new version above it is refused or taken back. {CLUSTER}the rollback rule.",
    )
    window: Duration = field("Over how long it is measured.", f"{CLUSTER}the rollback rule.")


class LatencyTrigger(Section):
    """A new version that answers too slowly does not stay."""

    threshold: Duration = field(
        "The time within which 99 % of requests must be answered.",
        f"A new version above it is refused or taken back. {CLUSTER}the rollback rule.",
    )
    window: Duration = field("Over how long it is measured.", f"{CLUSTER}the rollback rule.")


class Triggers(Section):
    """What takes a new version back."""

    error_rate: ErrorRateTrigger | None = section("Too many failed requests.", None)
    latency_p99: LatencyTrigger | None = section("Too slow answers.", None)


class Rollback(Section):
    """Whether a new version that does badly is taken back."""

    enabled: bool = field(
        "Whether the triggers count; at least one is then required.",
        "Without it, only golden inputs and probes decide about a new version.",
    )
    triggers: Triggers | None = section("What takes a new version back.", None)
