"""Other models by HandleReloadConfigRequest."""

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import model_management_pb2, model_service_pb2_grpc

from serving.errors import FailedPrecondition
from serving.repository.model_config import ModelConfig, VersionPolicy

CONFIG = """
model_config_list { config {
  name: "m" base_path: "/models/m" model_platform: "tensorflow"
  model_version_policy { specific { versions: 1 versions: 2 } }
  version_labels { key: "stable" value: 1 }
} }
"""


@pytest.fixture
def reload(channel):
    stub = model_service_pb2_grpc.ModelServiceStub(channel)

    def call(config, **options):
        request = model_management_pb2.ReloadConfigRequest()
        text_format.Parse(config, request.config)
        return stub.HandleReloadConfigRequest(request, **options)

    return call


async def test_other_models_are_asked_for(engine, reload, soon):
    answer = await reload(CONFIG, timeout=20)
    assert answer.status.error_code == 0
    (((config,), deadline),) = engine.control.reloaded
    assert config == ModelConfig("m", "/models/m", VersionPolicy(specific=(1, 2)), {"stable": 1})
    assert soon(deadline, 20)


async def test_a_reload_without_a_deadline_has_one_all_the_same(engine, reload, soon):
    await reload(CONFIG)
    assert soon(engine.control.reloaded[-1][1], 1800)


@pytest.mark.parametrize(
    ("config", "code", "words"),
    [
        ("", "INVALID_ARGUMENT", "Only ModelConfigList is currently supported"),
        ("custom_model_config {}", "INVALID_ARGUMENT", "Only ModelConfigList is currently supported"),
        (CONFIG.replace("/models", "models"), "INVALID_ARGUMENT", "absolute path"),
    ],
)
async def test_a_config_that_cannot_be_is_refused(reload, config, code, words):
    with pytest.raises(grpc.aio.AioRpcError, match=words) as caught:
        await reload(config)
    assert caught.value.code().name == code


async def test_what_goes_wrong_is_told(engine, reload):
    engine.failure = FailedPrecondition("not available")
    with pytest.raises(grpc.aio.AioRpcError, match="not available") as caught:
        await reload(CONFIG)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
