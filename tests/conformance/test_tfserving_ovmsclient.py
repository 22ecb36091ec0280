"""OpenVINO's client for TF Serving's API, over gRPC and REST; it asks for version 0 where it means none."""

import numpy as np
import pytest
from ovmsclient import make_grpc_client, make_http_client
from ovmsclient.tfs_compat.base.errors import InvalidInputError, ModelNotFoundError

pytestmark = pytest.mark.timeout(900)

X = np.array([[1, 1, 1], [0, 1, 0]], np.float32)


@pytest.fixture(params=["grpc", "http"])
def client(request, server):
    if request.param == "grpc":
        return make_grpc_client(server.grpc)
    return make_http_client(server.rest.removeprefix("http://"))


@pytest.mark.parametrize("version", [{}, {"model_version": 2}])
def test_predict(client, version):
    np.testing.assert_allclose(client.predict({"x": X}, "affine", timeout=60.0, **version), [8, 4])
    answer = client.predict({"text": [b"ab"]}, "text", timeout=60.0)
    assert answer["length"].tolist() == [2]


def test_status_and_metadata(client):
    (status,) = client.get_model_status("half_plus_two").values()
    assert status == {"state": "AVAILABLE", "error_code": 0, "error_message": ""}
    assert client.get_model_metadata("affine")


def test_errors(client):
    with pytest.raises(ModelNotFoundError, match="Servable not found for request"):
        client.predict({"x": X}, "nobody", timeout=60.0)
    with pytest.raises(ModelNotFoundError, match="Could not find"):
        client.get_model_status("nobody")
    with pytest.raises(InvalidInputError):
        client.predict({"x": X[:, :2]}, "affine", timeout=60.0)
