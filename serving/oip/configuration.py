"""A model's configuration in the terms of Triton's ModelConfig, as far as a SavedModel has one."""

from collections.abc import Mapping
from typing import Any

from serving.oip import PLATFORM, datatype_of, shape_of, shown_signature
from serving.repository.model_config import VersionPolicy
from serving.servables.metadata import ModelMetadata
from serving.signature import TensorSpec

_TYPES = {"BYTES": "TYPE_STRING"}


def model_config(metadata: ModelMetadata, versions: VersionPolicy) -> dict[str, Any]:
    """ModelConfig as its JSON has it.

    max_batch_size is 0 where requests are not merged: then `dims` are whole shapes; else they leave the batch out.
    Raises FailedPrecondition where the model has no default signature.
    """
    signature = shown_signature(metadata)
    policy = metadata.policies.get(signature.name)
    merges = policy is not None and policy.merges
    config: dict[str, Any] = {
        "name": metadata.name,
        "platform": PLATFORM,
        "backend": "tensorflow",
        "version_policy": _version_policy(versions),
        "max_batch_size": policy.max_batch_size if policy is not None and merges else 0,
        "input": [_tensor(spec, without_batch=merges) for spec in signature.inputs.values()],
        "output": [_tensor(spec, without_batch=merges) for spec in signature.outputs.values()],
        "default_model_filename": "model.savedmodel",
        "model_transaction_policy": {"decoupled": False},
    }
    if policy is not None and merges:
        config["dynamic_batching"] = {"preferred_batch_size": list(policy.allowed_batch_sizes)}
    return config


def _version_policy(policy: VersionPolicy) -> Mapping[str, Any]:
    if policy.all:
        return {"all": {}}
    if policy.specific:
        return {"specific": {"versions": list(policy.specific)}}
    return {"latest": {"num_versions": policy.latest}}


def _tensor(spec: TensorSpec, *, without_batch: bool) -> Mapping[str, Any]:
    name, shape = datatype_of(spec), shape_of(spec)
    return {
        "name": spec.name,
        "data_type": _TYPES.get(name, f"TYPE_{name}") if name is not None else "TYPE_INVALID",
        "dims": shape[1:] if without_batch and spec.shape else shape,
    }
