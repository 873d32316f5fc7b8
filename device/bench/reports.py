"""The forms of the reports of `pocketsight bench --json`. README.md describes their keys."""

from __future__ import annotations

from typing import Any, TypedDict

from pocketsight.device.runtime.sensor_monitor import SensorFacts

SCHEMA_VERSION = 2


class Environment(TypedDict):
    """The machine and its software; "" where the machine does not report a value."""

    board: str
    cores: int
    architecture: str
    os: str
    kernel: str
    python: str
    numpy: str
    opencv: str
    interpreter: str
    governor: str
    pocketsight: str


class Header(TypedDict):
    """The head of every measured report."""

    schema_version: int
    kind: str
    time: str
    environment: Environment
    load_average_1m: float


class WarmupSummary(TypedDict):
    """The frames that were left out, over all sessions."""

    sessions: int
    frames: int
    seconds: float
    end_reason: str


class Stats(TypedDict):
    """Order statistics of a list of times, in ms."""

    n: int
    min: float
    p50: float
    p90: float
    p95: float
    p99: float
    max: float


class Startup(TypedDict):
    """One-time costs of a model."""

    load_ms: float
    first_inference_ms: float


class ModelFacts(TypedDict):
    """A model file and how it runs here."""

    file: str
    task: str
    arch: str
    precision: str
    sha256: str
    bytes: int
    threads: int
    delegate: str
    partitions: int
    accuracy: dict[str, Any]


class ModelEntry(ModelFacts, Startup):
    """A model of a run."""


class RatioFields(TypedDict):
    """A ratio of two medians, new to old."""

    ratio: float
    confidence_interval: list[float]
    verdict: str
    max_undetected: float


class ModelTiming(ModelEntry, Stats, RatioFields):
    """A model that was timed alone; the ratio is to the first model."""

    samples_ms: list[list[float]]


class FrameStats(TypedDict):
    """Numbers of the counted frames."""

    frames: int
    faces_per_frame: float
    fps: float
    cpu_ms_per_frame: float
    stages: dict[str, Stats]


class Memory(TypedDict):
    """Resident memory in MB."""

    peak: float
    final: float


class TelemetryRow(TypedDict):
    """A time window of a sustained run; None where the machine does not report a value."""

    elapsed_s: float
    fps: float
    p50: float
    p99: float
    temperature_c: float | None
    cpu_mhz: float | None
    throttled: bool | None
    under_voltage: bool | None
    throttled_bits: str | None


class OperatorRow(TypedDict):
    """One operator of a model."""

    index: int
    op: str
    shape: list[int]
    us: float
    standard_error_us: float
    share: float
    macs: int
    weight_bytes: int
    activation_bytes: int


class Attribution(TypedDict):
    """The time of a model, attributed to its operators."""

    method: str
    sum_ratio: dict[str, float]
    total_us: float
    rows: list[OperatorRow]


class OperatorProfile(Attribution):
    """The operators of a model file."""

    file: str
    threads: int
    rounds: int


class RunReport(Header, FrameStats):
    """The whole pipeline, measured: kind "run"."""

    source: str
    source_sha256: str | None
    models: list[ModelEntry]
    runtime_import_ms: float
    first_frame_ms: float | None
    warmup: WarmupSummary
    memory_mb: Memory
    telemetry: list[TelemetryRow]  # empty without --duration
    operators: list[OperatorProfile]  # empty without --per-op
    samples_ms: dict[str, list[list[float]]]
    accelerator: SensorFacts | None  # with --accelerator


class ModelsReport(Header):
    """Models alone, measured interleaved: kind "models"."""

    source: str
    source_sha256: str | None
    runtime_import_ms: float
    rounds: int
    warmup: WarmupSummary
    models: list[ModelTiming]
    messages: list[str]
    operators: list[OperatorProfile]  # empty without --per-op


class ThreadRow(FrameStats):
    """A run on a number of threads."""

    threads: int
    warmup: WarmupSummary


class Recommendation(TypedDict):
    """The number of threads to use."""

    recommended_threads: int
    reason: str


class ThreadsReport(Header, Recommendation):
    """Runs on several numbers of threads: kind "threads"."""

    source: str
    source_sha256: str | None
    thread_counts: list[ThreadRow]


class ComparisonRow(RatioFields):
    """A stage or a model in two reports."""

    name: str
    old_p50_ms: float
    new_p50_ms: float
    sessions: int
    messages: list[str]
    accuracy: dict[str, dict[str, Any]]  # "old" and "new", of models; empty for stages


class ComparisonReport(TypedDict):
    """Two reports against each other: kind "comparison"."""

    schema_version: int
    kind: str
    warnings: list[str]
    environment_changes: list[str]
    rows: list[ComparisonRow]
    messages: list[str]


MeasuredReport = RunReport | ModelsReport
AnyReport = RunReport | ModelsReport | ThreadsReport | ComparisonReport
