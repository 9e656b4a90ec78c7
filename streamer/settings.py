"""Settings: one TOML file, then environment variables. The one module that reads either.

A variable is STREAMER_, the section, two underscores, the key: STREAMER_KAFKA__BOOTSTRAP_SERVERS=host:9092.
Frozen and validated at start, every mistake listed at once; secrets are `SecretStr`, never printed.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from streamer.errors import UsageError
from streamer.records.identity import check_name
from streamer.records.stream import describe, shown_key

PREFIX = "STREAMER_"
FILE_VARIABLE = "STREAMER_CONFIG"
DEFAULT_FILE = "streamer.toml"
# Ten years: what Kafka, Redis and Python's clocks all take, in milliseconds too.
_LONGEST_S = 10 * 366 * 24 * 3600

_named: ContextVar[Path | None] = ContextVar("named", default=None)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _none_if_empty(cls, value: Any, info: ValidationInfo) -> Any:
        """TOML has no word for none, nor has an environment variable."""
        assert info.field_name is not None
        may_be_none = type(None) in get_args(cls.model_fields[info.field_name].annotation)
        return None if value == "" and may_be_none else value


class KafkaSettings(_Section):
    """Where Kafka is and how to log in. Without bootstrap_servers the one-machine stack is used."""

    bootstrap_servers: str = Field("", description="host:port, comma separated; empty: the one-machine stack")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str = ""
    sasl_password: SecretStr = SecretStr("")
    ssl_cafile: Path | None = Field(None, description="PEM with the authority that signed the broker's certificate")
    ssl_certfile: Path | None = Field(None, description="PEM with our own certificate (mutual TLS)")
    ssl_keyfile: Path | None = Field(None, description="PEM with our own key")
    ssl_key_password: SecretStr = SecretStr("")
    ssl_check_hostname: bool = True
    connect_timeout_s: float = Field(10, gt=0, le=300, description="how long to look for a broker at the start")
    session_timeout_ms: int = Field(
        6000, ge=1000, le=1_800_000, description="a silent member's partitions go to others after this"
    )
    topic_prefix: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]{0,64}$",
        description="before every topic, group and transactional id, to share a cluster",
    )
    instance: str = Field("", pattern=r"^[A-Za-z0-9._-]{0,64}$", description="name of this process; empty: made up")


class TopicSettings(_Section):
    """What `streamer topics create` makes and `streamer topics check` compares with."""

    partitions: int = Field(16, ge=1, le=1000, description="the most workers that can share the frames")
    stream_partitions: int = Field(32, ge=1, le=1000, description="the most producers that can share the streams")
    replication_factor: int = Field(1, ge=1, le=9)
    frames_retention_s: int = Field(600, ge=10, le=_LONGEST_S)
    frames_retention_bytes: int = Field(2 * 1024**3, ge=16 * 1024**2, le=1024**5, description="per partition")
    detections_retention_s: int = Field(7 * 24 * 3600, ge=60, le=_LONGEST_S)
    dead_retention_s: int = Field(24 * 3600, ge=60, le=_LONGEST_S)
    max_record_bytes: int = Field(8 * 1024**2, ge=64 * 1024, le=1024**3, description="largest JPEG that travels")


class RedisSettings(_Section):
    """Where Redis is. Without a url the one-machine stack is used."""

    url: str = Field("", description="redis://host:6379/0 or rediss://host:6379/0; empty: the one-machine stack")
    username: str = ""
    password: SecretStr = SecretStr("")
    ssl_ca_certs: Path | None = None
    prefix: str = Field("", pattern=r"^[A-Za-z0-9._:-]{0,64}$", description="before every key and channel")
    max_records: int = Field(10_000, ge=1, description="kept per stream at most")
    max_age_s: int = Field(
        600, ge=1, le=_LONGEST_S, description="kept per stream: results of frames not older than this"
    )
    latest_ttl_s: int = Field(
        60, ge=1, le=_LONGEST_S, description="a stream that is silent for so long has no latest result"
    )


class ProduceSettings(_Section):
    """Producers."""

    max_outstanding_bytes: int = Field(64 * 1024**2, ge=1024**2, description="sent, not yet acknowledged, all streams")
    stall_timeout_s: float = Field(
        5, gt=0, le=3600, description="an open connection without a frame for so long is reopened"
    )
    connect_timeout_s: float = Field(5, gt=0, le=3600)
    reconnect_min_s: float = Field(0.5, gt=0, le=3600)
    reconnect_max_s: float = Field(30, gt=0, le=86_400)
    reconnect_attempts: int = Field(0, ge=0, description="in a row, 0: for ever")
    hwaccel: str = Field("", description="hardware decoder: cuda, vaapi, qsv, videotoolbox; empty: none")
    decoder_threads: int = Field(1, ge=0, le=64, description="per stream; 0: the codec chooses")

    @model_validator(mode="after")
    def _order(self) -> "ProduceSettings":
        if self.reconnect_max_s < self.reconnect_min_s:
            raise ValueError("reconnect_max_s is smaller than reconnect_min_s")
        return self


def _pipeline_name(name: str) -> str:
    try:
        return check_name(name, "pipeline")
    except UsageError as error:
        raise ValueError(str(error)) from None


class DetectSettings(_Section):
    """Workers."""

    pipeline: Annotated[str, AfterValidator(_pipeline_name)] = "main"
    model: str = Field(
        "street-wide",
        description="an ONNX file, or the name of a shipped one: street-wide, street, and both with -int8 behind it",
    )
    engine: str = Field("onnxruntime", description="onnxruntime, openvino or an installed one's name")
    head: str = Field("auto", description="output layout of the model; auto: from its shapes and metadata")
    padding: Literal["auto", "centre", "top-left"] = Field(
        "auto", description="of the letterbox; auto: as the head wants"
    )
    confidence: float | None = Field(
        None, ge=0, le=1, description="least score of an object; empty: what the model's file says, else 0.25"
    )
    candidate_confidence: float = Field(
        0.1, ge=0, le=0.4, description="where objects are tracked: boxes from here on continue a track"
    )
    class_confidence: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict, description="per class name, over confidence"
    )
    classes: tuple[str, ...] = Field((), description="names of those wanted; empty: all")
    iou: float | None = Field(
        None,
        gt=0,
        le=1,
        description="boxes of one class overlapping more are one; empty: what the model's file says, else 0.6; "
        "end-to-end networks decide themselves",
    )
    agnostic_nms: bool = Field(False, description="boxes overlapping more are one whatever their classes")
    max_objects: int = Field(300, ge=1, le=10_000, description="per frame, the most confident ones")
    sessions: int = Field(0, ge=0, le=256, description="inferences side by side; 0: one per core, two on a GPU")
    session_threads: int = Field(1, ge=1, le=256, description="cores per inference")
    share_cores: int = Field(
        1, ge=1, le=256, description="workers on this machine that share its cores, if sessions = 0"
    )
    batch: int = Field(
        0,
        ge=0,
        le=256,
        description="most frames per inference; 0: the model's fixed batch, or if its batch is open 1, and 16 on a GPU",
    )
    batch_wait_ms: float = Field(5, ge=0, le=1000, description="longest wait for a batch to fill")
    queue: int = Field(16, ge=1, le=1024, description="frames waiting for inference, all streams")
    commit_interval_ms: int = Field(75, ge=1, le=10_000, description="results of so long are committed together")
    static_membership: bool = Field(
        False, description="keep the partitions over a restart, by kafka.instance; see docs/operations.md"
    )
    transactions: bool = Field(True, description="false: at least once, results may double after a crash")
    transaction_timeout_ms: int = Field(3000, ge=1000, le=60_000)
    allow_upscale: bool = Field(False, description="take pictures smaller than the model needs")
    max_picture_pixels: int = Field(64_000_000, ge=10_000, description="larger pictures are dead frames, not decoded")
    drain_timeout_s: float = Field(10, gt=0, le=3600, description="to finish what is in flight when told to stop")
    tries: int = Field(3, ge=1, le=100, description="a frame that, alone, fails or ends the worker so often is dead")
    stuck_after_s: float = Field(
        120, gt=0, le=86_400, description="an engine that does not come back for so long ends the worker"
    )
    retry_timeout_s: float = Field(300, gt=0, le=_LONGEST_S, description="without Kafka for so long, a worker ends")


class TensorRtSettings(_Section):
    """Engines that TensorRT builds, for workers with engine = "tensorrt"."""

    precision: Literal["model", "fp16"] = Field("model", description="fp16: models in FP32 are cast to it; others stay")
    best_batch: int = Field(0, ge=0, le=256, description="frames per inference to be fastest at; 0: the most")
    tf32: bool = Field(False, description="FP32 with fewer bits, faster; boxes differ a little from a CPU's")
    effort: int = Field(3, ge=0, le=5, description="how long a build looks for the fastest way")
    workspace_mb: int = Field(0, ge=0, description="GPU memory that a layer may use for itself; 0: all there is")
    hardware: Literal["this", "same-capability", "ampere-plus"] = Field(
        "this", description="GPUs that an engine runs on; anything but this is slower"
    )
    version_compatible: bool = Field(False, description="later TensorRT of this major version can load it; slower")
    cache: Path | None = Field(None, description="folder of built engines; empty: in the user's cache folder")
    shared_cache: str = Field("", description="address for a fleet's, as in s3://bucket/engines; needs shared_key")
    shared_key: SecretStr = Field(
        SecretStr(""), description="signs engines in shared_cache; 32 characters at least, the same on all machines"
    )

    @model_validator(mode="after")
    def _signed(self) -> "TensorRtSettings":
        if self.shared_cache and len(self.shared_key.get_secret_value()) < 32:
            raise ValueError("shared_cache needs a shared_key of at least 32 characters: engines are machine code")
        return self


class TelemetrySettings(_Section):
    """Logs, metrics, health."""

    log_format: Literal["console", "json"] = "console"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    host: str = Field("127.0.0.1", description="address of /metrics, /healthz and /readyz")
    port: int = Field(-1, ge=-1, le=65535, description="0: a free one, named in the log; -1: none")


class StackSettings(_Section):
    """The one-machine stack."""

    home: Path | None = Field(None, description="its folder; empty: streamer in the user's cache folder")
    kafka_heap_mb: int = Field(384, ge=128)
    maven_repository: str = Field("", description="where Kafka's jars come from; empty: Maven Central")


class Settings(_Section):
    """All settings, one section per part."""

    kafka: KafkaSettings = KafkaSettings()
    topics: TopicSettings = TopicSettings()
    redis: RedisSettings = RedisSettings()
    produce: ProduceSettings = ProduceSettings()
    detect: DetectSettings = DetectSettings()
    tensorrt: TensorRtSettings = TensorRtSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    stack: StackSettings = StackSettings()

    @model_validator(mode="after")
    def _instance(self) -> "Settings":
        if self.detect.static_membership and not self.kafka.instance:
            raise ValueError("detect.static_membership needs kafka.instance, a name that stays over a restart")
        return self


@contextmanager
def reading(file: Path | None) -> Iterator[None]:
    """Has `load` take this file meanwhile, in this thread, where none is named: engines read sections of their own."""
    token = _named.set(file)
    try:
        yield
    finally:
        _named.reset(token)


def load(
    file: Path | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Settings from a file, the environment and `overrides` (the command line's), the later the stronger.

    file: None means that of `reading`, else STREAMER_CONFIG if set, else streamer.toml in the working folder if it is
    there.

    Raises:
        UsageError: with every mistake in one message, without any value.
    """
    sections = _read_file(file, environ)
    mistakes: list[str] = []
    _read_environment(environ, sections, mistakes)
    for section, values in (overrides or {}).items():
        _put(sections, section, {k: v for k, v in values.items() if v is not None})
    try:
        settings = Settings.model_validate(sections)
    except ValidationError as error:
        mistakes += describe(error)
    if mistakes:
        raise UsageError("settings: " + "; ".join(mistakes))
    return settings


def _read_file(file: Path | None, environ: Mapping[str, str]) -> dict[str, Any]:
    file = file or _named.get()
    if file is None and environ.get(FILE_VARIABLE):
        file = Path(environ[FILE_VARIABLE])
    if file is None:
        file = Path(DEFAULT_FILE)
        if not file.is_file():
            return {}
    try:
        with file.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise UsageError(f"settings: can't read {file}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # a number of 5000 digits, or a thousand brackets, among others
        raise UsageError(f"settings: {file} is not TOML: {error}") from None


def _read_environment(environ: Mapping[str, str], sections: dict[str, Any], mistakes: list[str]) -> None:
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable == FILE_VARIABLE:
            continue
        section, _, key = variable.removeprefix(PREFIX).lower().partition("__")
        field = Settings.model_fields.get(section)
        kind = field.annotation if field else None
        if not isinstance(kind, type) or not issubclass(kind, BaseModel) or key not in kind.model_fields:
            mistakes.append(f"no setting is called {shown_key(variable)}; `streamer config show` lists all")
            continue
        _put(sections, section, {key: _from_text(kind.model_fields[key].annotation, text)})


def _put(sections: dict[str, Any], section: str, values: Mapping[str, Any]) -> None:
    """Over what the section has; one that is no table stays what it is, for the validation to name it."""
    if isinstance(sections.setdefault(section, {}), dict):
        sections[section].update(values)


def _from_text(kind: Any, text: str) -> Any:
    """Lists and tables are TOML in a variable too, or, for a list, words with commas; all else is its text."""
    if getattr(kind, "__origin__", None) not in (tuple, dict):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return tuple(part.strip() for part in text.split(",") if part.strip())
