"""Every setting of the server, in one frozen object.

`python -m serving` takes them as flags and writes them into the environment as SEQSERVE_<NAME>; the service
and its workers read that environment, here and nowhere else. Names are TF Serving's where it has the setting, and
where nothing else names models, MODEL_NAME and MODEL_BASE_PATH do as in TF Serving's container.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from serving.limits import MAX_CONCURRENT_REQUESTS, MAX_MESSAGE_BYTES, REQUEST_TIMEOUT_SECONDS
from serving.machine import cores, default_workers
from serving.xla_cache import OFF, usual

PREFIX = "SEQSERVE_"


class SettingsError(ValueError):
    """A setting that cannot be; the message names it, what it should be and what was given."""


def _address(value: str) -> str:
    """BentoML's own port takes addresses only, so the one name that everybody types is translated."""
    value = "127.0.0.1" if value == "localhost" else value
    ip_address(value)
    return value


def _channel_arguments(text: str) -> str:
    for argument in filter(None, text.split(",")):
        name, equals, _ = argument.partition("=")
        if not name or not equals:
            raise ValueError("expected name=value,name=value")
    return text


Port = Annotated[int, Field(ge=0, le=65535)]

_SOURCES = ("models", "model_base_path", "model_config_file")


def _container_variables(given: Any) -> Any:
    """What the entry point of TF Serving's container makes of its two variables."""
    found = [name for name in ("MODEL_NAME", "MODEL_BASE_PATH") if os.environ.get(name)]
    if not found or not isinstance(given, dict) or any(given.get(source) for source in _SOURCES):
        return given
    name = os.environ.get("MODEL_NAME") or "model"
    base = os.environ.get("MODEL_BASE_PATH") or "/models"
    return {"model_name": name, **given, "model_base_path": f"{base}/{name}"}


class Settings(BaseSettings):
    """Serves TensorFlow SavedModels over gRPC and HTTP."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        env_ignore_empty=True,
        extra="forbid",
    )

    models: Path = Field(
        Path("models"),
        description="Directory that holds a directory for each model: <name>/<version>/saved_model.pb.",
    )
    model_base_path: str | None = Field(
        None,
        description="One model's own directory of versions, or its URL, as TF Serving takes it; instead of --models.",
    )
    model_name: str = Field("default", min_length=1, description="The name of the model in --model_base_path.")
    model_config_file: Path | None = Field(
        None, description="TF Serving's ModelServerConfig in its text form, with any number of models."
    )
    saved_model_tags: str = Field(
        "serve", min_length=1, description="Tags of the graph to load from each SavedModel: serve,gpu."
    )
    model_config_file_poll_wait_seconds: float = Field(
        0, description="Time between looks at --model_config_file; 0 reads it once, at the start."
    )
    model_cache_directory: Path | None = Field(
        None, description="Where copies of remote models are kept; by default a directory that goes with the server."
    )
    host: Annotated[str, AfterValidator(_address)] = Field(
        "0.0.0.0", description="IP address to listen on, for all three ports."
    )
    http_port: Port = Field(
        3000,
        description="Typed HTTP API, its documentation, metrics, health; the REST API as well. 0 picks a free port.",
    )
    port: Port = Field(
        8500, description="gRPC: TF Serving's services, the Open Inference Protocol, health, reflection. 0 for none."
    )
    rest_api_port: Port = Field(
        8501, description="REST: TF Serving's /v1 and the Open Inference Protocol's /v2. 0 for none."
    )
    workers: int = Field(
        default_factory=default_workers,
        ge=1,
        description="Processes, each with its own models; by default one a core, "
        "fewer where memory is short, one on a GPU.",
    )
    max_message_bytes: int = Field(
        MAX_MESSAGE_BYTES, ge=1024, description="Largest request, in bytes; an answer may be larger."
    )
    max_concurrent_requests: int = Field(
        MAX_CONCURRENT_REQUESTS,
        ge=1,
        description="How many requests over gRPC, and connections over REST, a worker takes at once; "
        "it refuses more with RESOURCE_EXHAUSTED and 503.",
    )
    request_timeout_seconds: float = Field(
        REQUEST_TIMEOUT_SECONDS,
        gt=0,
        description="How long a request may take when its caller sets no shorter deadline.",
    )
    grace_period_seconds: float = Field(
        30, gt=0, description="How long a stopping server goes on answering what it has accepted."
    )
    file_system_poll_wait_seconds: float = Field(
        1, ge=0, description="Time between looks for new versions; 0 looks once, at the start."
    )
    servables_vanish: bool = Field(
        False, description="Unload a version whose directory has gone, as TF Serving does; else it goes on serving."
    )
    unload_before_load: bool = Field(
        False, description="Unload the old version before the new one loads, where memory is too short for both."
    )
    max_num_load_retries: int = Field(
        5, ge=0, description="How often a load that failed for outside reasons is tried again."
    )
    load_retry_interval_micros: int = Field(
        60_000_000, description="Time between these tries, in microseconds; 0 or less does not wait."
    )
    num_load_threads: int = Field(
        0, ge=0, description="How many versions a worker loads at once; 0 for one a core, two at least."
    )
    allow_version_labels_for_unavailable_models: bool = Field(
        False, description="Let labels name versions that are not loaded yet."
    )
    allow_model_control: bool = Field(
        False, description="Let callers load and unload models by name, as Triton's clients do."
    )
    enable_model_warmup: bool = Field(
        True, description="Replay a version's assets.extra/tf_serving_warmup_requests before it serves."
    )
    num_request_iterations_for_warmup: int = Field(
        0, description="How often each of these requests is replayed; once where this is 0 or less."
    )
    enable_batching: bool = Field(
        False, description="Batch requests for models without batching parameters of their own, too."
    )
    batching_parameters_file: Path | None = Field(
        None, description="TF Serving's BatchingParameters in their text form, for all of these models."
    )
    max_sequences: int = Field(1024, ge=1, description="How many sequences of requests a worker keeps the state of.")
    max_sequence_idle_seconds: float = Field(
        60, gt=0, description="How long a sequence is kept that no request comes for."
    )
    xla: bool = Field(True, description="Compile models with XLA where their operations allow it.")
    xla_cache_directory: Annotated[str, AfterValidator(lambda given: given or OFF)] = Field(
        default_factory=lambda: str(usual()),
        description="Where compiled code is kept for the next start, by default seqserve/xla in the user's cache "
        "directory; none, or empty as a flag, keeps nothing.",
    )
    tensorflow_intra_op_parallelism: int = Field(
        0, ge=0, description="Threads for one call of a model; 0 shares the cores out among the workers."
    )
    tensorflow_inter_op_parallelism: int = Field(
        0, ge=0, description="Operations of one call that may run at once; 0 leaves it to the server."
    )
    per_process_gpu_memory_fraction: float = Field(
        0, ge=0, le=1, description="Part of a graphics card's memory that a worker may take; 0 takes what it needs."
    )
    tensorflow_session_parallelism: int = Field(0, ge=0, description="Both of these at once, as TF Serving takes it.")
    rest_api_timeout_in_ms: int | None = Field(
        None, description="How long a request over REST may take; by default, and with 0 or less, as any other."
    )
    rest_api_enable_cors_support: bool = Field(False, description="Let web pages from anywhere call the REST port.")
    grpc_socket_path: str | None = Field(None, description="Unix socket that serves gRPC beside --port.")
    grpc_channel_arguments: Annotated[str, AfterValidator(_channel_arguments)] = Field(
        "",
        description="Any has gRPC's own server take the connections, which costs more: grpc.keepalive_time_ms=2000.",
    )
    enable_serialization_as_tensor_content: bool = Field(
        False, description="Answer TF Serving's Predict with numbers as bytes, tensor_content, not in typed fields."
    )
    ssl_config_file: Path | None = Field(
        None, description="TF Serving's SSLConfig in its text form: keys and certificates for gRPC over TLS."
    )
    monitoring_config_file: Path | None = Field(
        None, description="TF Serving's MonitoringConfig in its text form: whether and where metrics are shown."
    )
    run_directory: Path | None = Field(
        None, description="Where workers meet; by default a new directory that goes with the server."
    )
    metrics_directory: Path | None = Field(
        None, description="Where workers put what they count; by default a new directory that goes with the server."
    )
    access_log: bool = Field(False, description="Log each request on the typed HTTP API.")

    @model_validator(mode="before")
    @classmethod
    def _from_the_container(cls, given: Any) -> Any:
        return _container_variables(given)

    @model_validator(mode="after")
    def _one_source_of_models(self) -> "Settings":
        for theirs in ("model_base_path", "model_config_file"):
            if getattr(self, theirs) is not None and "models" in self.model_fields_set:
                raise ValueError(f"expected models or {theirs}, got both")
        return self

    @model_validator(mode="after")
    def _ports_differ(self) -> "Settings":
        ports = (self.http_port, self.port, self.rest_api_port)
        taken = [port for port in ports if port]
        if len(set(taken)) < len(taken):
            raise ValueError(f"expected three different ports, got http_port, port, rest_api_port = {ports}")
        return self

    @model_validator(mode="after")
    def _batching_parameters_are_asked_for(self) -> "Settings":
        if self.batching_parameters_file is not None and not self.enable_batching:
            raise ValueError("batching_parameters_file is set without setting enable_batching to true")
        return self

    @model_validator(mode="after")
    def _parallelism_is_said_once(self) -> "Settings":
        both = self.tensorflow_intra_op_parallelism and self.tensorflow_inter_op_parallelism
        if both and self.tensorflow_session_parallelism:
            raise ValueError(
                "expected tensorflow_session_parallelism, or tensorflow_intra_op_parallelism and "
                "tensorflow_inter_op_parallelism, got all of them"
            )
        return self

    @property
    def as_tensorflow_serving(self) -> bool:
        """Whether models are named in TF Serving's way."""
        return self.model_base_path is not None or self.model_config_file is not None

    @property
    def rest_timeout_seconds(self) -> float | None:
        """How long a request over REST may take; None for as long as any other."""
        milliseconds = self.rest_api_timeout_in_ms or 0
        return milliseconds / 1000 if milliseconds > 0 else None

    @property
    def channel_arguments(self) -> Sequence[tuple[str, int | str]]:
        """grpc_channel_arguments, taken apart: what can be an int32 is one."""
        pairs = [argument.partition("=")[::2] for argument in self.grpc_channel_arguments.split(",") if argument]
        return [(name, int(value) if _is_int32(value) else value) for name, value in pairs]

    @property
    def threads_per_call(self) -> int:
        """Threads that one call of a model may take, at least one."""
        return self.intra_op_threads or max(1, cores() // self.workers)

    @property
    def intra_op_threads(self) -> int:
        """Threads for one operation; 0 for a share of the cores."""
        if self.tensorflow_inter_op_parallelism or self.tensorflow_intra_op_parallelism:
            return self.tensorflow_intra_op_parallelism
        return self.tensorflow_session_parallelism

    @property
    def inter_op_threads(self) -> int:
        """Operations of one call that may run at once; 0 for the server's choice."""
        if self.tensorflow_inter_op_parallelism or self.tensorflow_intra_op_parallelism:
            return self.tensorflow_inter_op_parallelism
        return self.tensorflow_session_parallelism

    def environment(self) -> Mapping[str, str]:
        """The variables that give another process the settings that were given to this one."""
        given = self.model_dump(mode="json", include=set(self.model_fields_set), exclude_none=True)
        return {f"{PREFIX}{name.upper()}": str(value) for name, value in given.items()}


def _is_int32(text: str) -> bool:
    try:
        return -(2**31) <= int(text) < 2**31
    except ValueError:
        return False


def from_values(values: Mapping[str, str]) -> Settings:
    """Settings from values as they stand in flags, over the environment; raises SettingsError.

    Flags that name models win over every variable that does: those are forgotten, for processes started later as well.
    """
    if any(source in values for source in _SOURCES):
        for source in _SOURCES:
            os.environ.pop(f"{PREFIX}{source.upper()}", None)
    given: dict[str, Any] = dict(values)
    return _checked(lambda: Settings(**given))


@lru_cache(maxsize=1)
def from_environment() -> Settings:
    """Settings from the environment, which is read once a process."""
    return _checked(Settings)


def _checked(build: Callable[[], Settings]) -> Settings:
    try:
        return build()
    except ValidationError as error:
        problems = "; ".join(_problem(detail) for detail in error.errors(include_url=False))
        raise SettingsError(problems) from None


def _problem(detail: ErrorDetails) -> str:
    name = ".".join(str(part) for part in detail["loc"])
    message = detail["msg"].removeprefix("Value error, ")
    return f"{name}: {message}. Received: {detail['input']!r}" if name else message
