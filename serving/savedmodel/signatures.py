"""The signatures of a loaded graph: those that can be run, and of the others why not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from serving.datatypes import BY_TF_NUMBER
from serving.savedmodel.program import Program
from serving.signature import Signature, TensorSpec

_REFERENCE = 100  # a variable's own type is that of its values and this
_INITIALISER = "__saved_model_"
_KINDS = {"coo_sparse": "a sparse tensor", "composite_tensor": "a composite tensor"}


@dataclass(frozen=True, slots=True)
class Signatures:
    """What a graph offers, by signature name.

    programs: what can be run. refusals: why the others cannot. definitions: every SignatureDef, serialised.
    """

    programs: Mapping[str, Program]
    refusals: Mapping[str, str]
    definitions: Mapping[str, bytes]


def read_signatures(
    session: tf.compat.v1.Session, meta_graph: meta_graph_pb2.MetaGraphDef, model: str = ""
) -> Signatures:
    """Makes a program of each signature whose tensors have a form in the protocols; no other is an error here."""
    programs: dict[str, Program] = {}
    refusals: dict[str, str] = {}
    for name, definition in sorted(meta_graph.signature_def.items()):
        problem = next(_problems(name, definition), None)
        if problem is not None:
            refusals[name] = f"signature '{name}' cannot be served: {problem}"
            continue
        try:
            programs[name] = _program(session, name, definition, model)
        except (KeyError, ValueError, TypeError, tf.errors.OpError) as error:
            refusals[name] = f"signature '{name}' cannot be served: {str(error)[:200]}"
    return Signatures(MappingProxyType(programs), MappingProxyType(refusals), read_definitions(meta_graph))


def read_definitions(meta_graph: meta_graph_pb2.MetaGraphDef) -> Mapping[str, bytes]:
    """Every SignatureDef, serialised."""
    definitions = sorted(meta_graph.signature_def.items())
    return MappingProxyType({name: definition.SerializeToString() for name, definition in definitions})


def _problems(name: str, definition: meta_graph_pb2.SignatureDef) -> Iterator[str]:
    if name.startswith(_INITIALISER):
        yield "it initialises the model, which has happened"
    if not definition.outputs:
        yield "it has no outputs"
    for side, tensors in (("input", definition.inputs), ("output", definition.outputs)):
        for key, info in sorted(tensors.items()):
            encoding = info.WhichOneof("encoding")
            if encoding != "name":
                yield f"its {side} '{key}' is {_KINDS.get(str(encoding), 'no tensor')}, and requests carry dense ones"
            elif info.dtype % _REFERENCE not in BY_TF_NUMBER:
                yield f"its {side} '{key}' is of type {_type_name(info)}, which requests cannot carry"


def _program(session: tf.compat.v1.Session, name: str, definition: meta_graph_pb2.SignatureDef, model: str) -> Program:
    def tensor(info: meta_graph_pb2.TensorInfo) -> tf.Tensor:
        return session.graph.get_tensor_by_name(info.name)

    signature = Signature(
        name=name,
        method_name=definition.method_name,
        inputs=MappingProxyType(
            {
                key: replace(_spec(key, definition.inputs[key]), computed=_is_computed(tensor(definition.inputs[key])))
                for key in sorted(definition.inputs)
            }
        ),
        outputs=MappingProxyType({key: _spec(key, definition.outputs[key]) for key in sorted(definition.outputs)}),
    )
    defaults = {key: tf.make_ndarray(value) for key, value in definition.defaults.items() if key in signature.inputs}
    return Program(
        session,
        signature,
        {key: tensor(definition.inputs[key]) for key in signature.inputs},
        {key: tensor(definition.outputs[key]) for key in signature.outputs},
        defaults,
        model,
    )


def _spec(name: str, info: meta_graph_pb2.TensorInfo) -> TensorSpec:
    shape = info.tensor_shape
    axes = None if shape.unknown_rank else tuple(None if d.size < 0 else int(d.size) for d in shape.dim)
    return TensorSpec(name, BY_TF_NUMBER[info.dtype % _REFERENCE].name, axes)


def _is_computed(tensor: tf.Tensor) -> bool:
    return not tensor.op.type.startswith("Placeholder")


def _type_name(info: meta_graph_pb2.TensorInfo) -> str:
    value = info.DESCRIPTOR.fields_by_name["dtype"].enum_type.values_by_number.get(info.dtype)
    return value.name if value is not None else str(info.dtype)
