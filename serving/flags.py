"""The command line of `python -m serving`, in TF Serving's syntax: --name=value, --name value, --switch."""

import difflib
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import get_args

from serving.settings import Settings, SettingsError
from serving.tfserving.flags import TFSERVING_FLAGS, Treatment

_WORDS = {"true": "true", "false": "false", "1": "true", "0": "false"}
_LONGEST_QUOTE = 80

GROUPS: Mapping[str, Sequence[str]] = {
    "Models": (
        "models",
        "model_base_path",
        "model_name",
        "model_config_file",
        "model_config_file_poll_wait_seconds",
        "file_system_poll_wait_seconds",
        "saved_model_tags",
        "model_cache_directory",
        "allow_version_labels_for_unavailable_models",
        "allow_model_control",
    ),
    "Loading": (
        "num_load_threads",
        "max_num_load_retries",
        "load_retry_interval_micros",
        "unload_before_load",
        "servables_vanish",
        "enable_model_warmup",
        "num_request_iterations_for_warmup",
        "xla",
        "xla_cache_directory",
    ),
    "Ports": (
        "host",
        "http_port",
        "port",
        "rest_api_port",
        "grpc_socket_path",
        "grpc_channel_arguments",
        "ssl_config_file",
        "rest_api_enable_cors_support",
        "enable_serialization_as_tensor_content",
    ),
    "Requests": (
        "max_message_bytes",
        "max_concurrent_requests",
        "request_timeout_seconds",
        "rest_api_timeout_in_ms",
        "enable_batching",
        "batching_parameters_file",
        "max_sequences",
        "max_sequence_idle_seconds",
    ),
    "Processes": (
        "workers",
        "tensorflow_intra_op_parallelism",
        "tensorflow_inter_op_parallelism",
        "tensorflow_session_parallelism",
        "per_process_gpu_memory_fraction",
        "grace_period_seconds",
        "run_directory",
    ),
    "Watching": ("monitoring_config_file", "metrics_directory", "access_log"),
}


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What a command line says.

    settings: the values of settings, by name, as they stand there.
    notes: one line for each flag that is honoured in another way than TF Serving does.
    asks: "help" or "version" where it asks for that only.
    """

    settings: Mapping[str, str]
    notes: Sequence[str] = ()
    asks: str | None = None


def parse(arguments: Sequence[str]) -> CommandLine:
    """Reads flags, the last one of a name counting; raises SettingsError, with the nearest name of an unknown one."""
    settings: dict[str, str] = {}
    notes: dict[str, str] = {}
    for name, value in _flags(arguments):
        if name in ("help", "version"):
            if value != "false":
                return CommandLine({}, asks=name)
            continue
        if name in Settings.model_fields:
            settings[name] = value
            continue
        flag = TFSERVING_FLAGS[name]
        if flag.treatment is Treatment.OTHERWISE:
            notes[name] = f"--{name}: {flag.how}"
        elif value not in flag.harmless:
            raise SettingsError(f"--{name} is not served: {flag.how}. Received: {_quoted(value)}")
    given = {name: value for name, value in settings.items() if value or not _may_be_empty(name)}
    return CommandLine(given, tuple(notes.values()))


def _flags(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    words = iter(range(len(arguments)))
    for index in words:
        argument = arguments[index]
        if not argument.startswith("--"):
            if argument == "-h":
                yield "help", "true"
                continue
            raise SettingsError(f"expected a flag, --name=value. Received: {_quoted(argument)}")
        given, equals, value = argument[2:].partition("=")
        name = given.replace("-", "_")
        if name not in _known():
            raise SettingsError(f"unknown flag --{given[:_LONGEST_QUOTE]}{_nearest(name)}")
        following = arguments[index + 1] if index + 1 < len(arguments) else None
        if _is_boolean(name):
            if not equals and following is not None and following.lower() in _WORDS:
                value = following
                next(words)
            elif not equals:
                value = "true"
            if value.lower() not in _WORDS:
                raise SettingsError(f"--{name}: expected true or false. Received: {_quoted(value)}")
            value = _WORDS[value.lower()]
        elif not equals:
            if following is None or following.startswith("--"):
                raise SettingsError(f"--{name}: expected a value after it")
            value = following
            next(words)
        yield name, value


def _known() -> set[str]:
    return {*Settings.model_fields, *TFSERVING_FLAGS, "help", "version"}


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, sorted(_known()), 1, 0.6)
    return f"; did you mean --{near[0]}?" if near else "; --help lists them all"


def _is_boolean(name: str) -> bool:
    if name in Settings.model_fields:
        return Settings.model_fields[name].annotation is bool
    return name in ("help", "version") or TFSERVING_FLAGS[name].boolean


def _may_be_empty(name: str) -> bool:
    """Whether the empty string stands for none, as it does for TF Serving's files."""
    field = Settings.model_fields[name]
    return type(None) in get_args(field.annotation)


def _quoted(value: str) -> str:
    return repr(value[:_LONGEST_QUOTE])


def help_text() -> str:
    """Every flag, in groups, one line each."""
    lines = ["usage: python -m serving [--name=value ...]", "", (Settings.__doc__ or "").strip(), ""]
    for group, names in GROUPS.items():
        lines.append(f"{group}:")
        for name in names:
            field = Settings.model_fields[name]
            default = field.default if field.default_factory is None else ""
            shown = (
                "" if default in (None, "") else f" [{str(default).lower() if default in (True, False) else default}]"
            )
            lines.append(f"  --{name} {field.description}{shown}")
        lines.append("")
    others = [name for name, flag in TFSERVING_FLAGS.items() if flag.treatment is Treatment.OTHERWISE]
    lines += textwrap.wrap("Honoured in another way, which the start tells: " + ", ".join(others) + ".", 118)
    lines += ["", "Each is an environment variable as well: SEQSERVE_PORT=8500. --version says what this is."]
    return "\n".join(lines)


def version_text() -> str:
    """This server's version and TensorFlow's."""
    return f"seqserve: {metadata.version('seqserve')}\nTensorFlow Library: {metadata.version('tensorflow')}"
