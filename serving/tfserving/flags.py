"""Every flag of tensorflow_model_server, and what becomes of it here.

Names and meanings are those of tensorflow_serving/model_servers/main.cc.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Treatment(Enum):
    """What this server does with a flag."""

    SERVED = "served"
    OTHERWISE = "honoured in another way"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class TFServingFlag:
    """How one flag is treated.

    how: what is said about it when it is given: how it is honoured, or why it is refused.
    boolean: whether the name alone means true.
    harmless: values of a refused flag that ask for nothing.
    """

    treatment: Treatment
    how: str = ""
    boolean: bool = False
    harmless: tuple[str, ...] = ("",)


def _otherwise(how: str, *, boolean: bool = False) -> TFServingFlag:
    return TFServingFlag(Treatment.OTHERWISE, how, boolean)


def _refused(why: str, *, boolean: bool = False) -> TFServingFlag:
    return TFServingFlag(Treatment.REFUSED, why, boolean, ("false", "0") if boolean else ("",))


_SERVED = (
    "allow_version_labels_for_unavailable_models",
    "batching_parameters_file",
    "enable_batching",
    "enable_model_warmup",
    "enable_serialization_as_tensor_content",
    "file_system_poll_wait_seconds",
    "grpc_channel_arguments",
    "grpc_socket_path",
    "load_retry_interval_micros",
    "max_num_load_retries",
    "model_base_path",
    "model_config_file",
    "model_config_file_poll_wait_seconds",
    "model_name",
    "monitoring_config_file",
    "num_load_threads",
    "num_request_iterations_for_warmup",
    "per_process_gpu_memory_fraction",
    "port",
    "rest_api_enable_cors_support",
    "rest_api_port",
    "rest_api_timeout_in_ms",
    "saved_model_tags",
    "ssl_config_file",
    "tensorflow_inter_op_parallelism",
    "tensorflow_intra_op_parallelism",
    "tensorflow_session_parallelism",
    "version",
)

TFSERVING_FLAGS: Mapping[str, TFServingFlag] = {
    **{name: TFServingFlag(Treatment.SERVED) for name in _SERVED},
    "enable_grpc_healthcheck_service": _otherwise("gRPC health is always served", boolean=True),
    "enable_per_model_batching_parameters": _otherwise(
        "a version's own batching_params.pbtxt always counts, with enable_batching and without", boolean=True
    ),
    "enable_profiler": _otherwise("there is no profiler service", boolean=True),
    "enable_signature_method_name_check": _otherwise(
        "signatures are judged by their inputs and outputs, as TF Serving does without it", boolean=True
    ),
    "flush_filesystem_caches": _otherwise("the system gives its file caches back by itself", boolean=True),
    "grpc_max_threads": _otherwise(
        "each worker reads its messages in one event loop; max_concurrent_requests bounds what it takes at once"
    ),
    "num_tflite_interpreters_per_pool": _otherwise("TensorFlow Lite models are not served"),
    "num_tflite_pools": _otherwise("TensorFlow Lite models are not served"),
    "num_unload_threads": _otherwise("each version unloads as soon as it has answered, beside all others"),
    "remove_unused_fields_from_bundle_metagraph": _otherwise(
        "a loaded version keeps its signatures and its session only", boolean=True
    ),
    "rest_api_num_threads": _otherwise(
        "each worker reads its requests in one event loop; workers says how many there are"
    ),
    "skip_initialize_tpu": _otherwise("TPUs are not used", boolean=True),
    "thread_pool_factory_config_file": _otherwise("each version has a thread pool of its own"),
    "xla_cpu_compilation_enabled": _otherwise("xla decides what is compiled", boolean=True),
    "xla_gpu_compilation_enabled": _otherwise("xla decides what is compiled", boolean=True),
    "mixed_precision": _refused("models answer in the precision that they were saved in"),
    "platform_config_file": _refused("TensorFlow is the only platform; set what the file sets by flags"),
    "prefer_tflite_model": _refused("TensorFlow Lite models are not served", boolean=True),
    "tensorflow_session_config_file": _refused("set what the file sets by flags"),
    "use_alts_credentials": _refused("use ssl_config_file for a port that needs credentials", boolean=True),
}
