"""What the gRPC port says of itself to a client that knows nothing but grpcio's reflection."""

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

pytestmark = pytest.mark.timeout(900)

SERVICES = {
    "tensorflow.serving.PredictionService": "Predict",
    "tensorflow.serving.ModelService": "GetModelStatus",
    "inference.GRPCInferenceService": "ModelStreamInfer",
    "grpc.health.v1.Health": "Check",
    "grpc.reflection.v1alpha.ServerReflection": "ServerReflectionInfo",
}


@pytest.fixture(scope="module")
def database(server):
    with grpc.insecure_channel(server.grpc) as channel:
        yield ProtoReflectionDescriptorDatabase(channel)


def test_every_service_is_listed(database):
    assert set(database.get_services()) == set(SERVICES)


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_every_service_is_described(database, service):
    described = DescriptorPool(database).FindServiceByName(service)
    assert SERVICES[service] in [method.name for method in described.methods]


def test_a_call_can_be_made_of_nothing_but_the_description(database, server):
    method = DescriptorPool(database).FindServiceByName("inference.GRPCInferenceService").methods_by_name["ModelReady"]
    request = message_factory.GetMessageClass(method.input_type)(name="affine")
    with grpc.insecure_channel(server.grpc) as channel:
        call = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelReady",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )
        assert call(request, timeout=30).ready
