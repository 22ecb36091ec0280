"""Signatures as protobuf's own JSON has them: 64-bit integers are strings, and nothing is left out."""

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format


def described(definitions: Mapping[str, bytes]) -> dict[str, Any]:
    """A SignatureDefMap of serialised SignatureDefs by name."""
    # This module is imported before TensorFlow is, whose messages these are.
    from tensorflow_serving.apis import get_model_metadata_pb2

    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in definitions.items():
        signatures.signature_def[name].MergeFromString(definition)
    return json_format.MessageToDict(
        signatures, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
