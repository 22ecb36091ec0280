"""The text and the message in which TF Serving's users name their models."""

import pytest
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from serving.errors import InvalidInput
from serving.repository.model_config import ConfigError, ModelConfig, VersionPolicy, from_message, parse, to_text

WHOLE = """
# Two models
model_config_list {
  config {
    name: "first" base_path: "/models/first" model_platform: "tensorflow"
    model_version_policy { specific { versions: 3 versions: 5 } }
    version_labels { key: "stable" value: 3 }
    version_labels { key: "canary" value: 5 }
    logging_config { sampling_config { sampling_rate: 0.5 } }
  }
  config { name: 'second', base_path: 's3://bucket/second', model_type: TENSORFLOW, model_version_policy: { all: {} } }
  config { name: "third" base_path: "/models/third" model_platform: "tensorflow" }
  config {
    name: "fourth" base_path: "/models/fourth" model_platform: "tensorflow"
    model_version_policy { latest { num_versions: 2 } }
  }
}
"""
MODELS = (
    ModelConfig("first", "/models/first", VersionPolicy(specific=(3, 5)), {"stable": 3, "canary": 5}),
    ModelConfig("second", "s3://bucket/second", VersionPolicy(all=True)),
    ModelConfig("third", "/models/third"),
    ModelConfig("fourth", "/models/fourth", VersionPolicy(latest=2)),
)


def one(fields):
    return f'model_config_list {{ config {{ name: "m" {fields} }} }}'


def test_a_whole_config_is_read():
    assert parse(WHOLE) == MODELS


def test_what_is_written_is_read_back():
    assert parse(to_text(MODELS)) == MODELS


def test_no_models_are_a_config_too():
    assert parse("") == parse("model_config_list {}") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('model_config_list {\n config { name: "a" base_pth: "x" } }', r'2:\d+: .*no field named "base_pth"'),
        ("model_config_list {\n\n", r"\d+:\d+: Expected"),
        ("x", "1:1: "),
        ("model_config_list { config { name: 3 } }", r"1:\d+: "),
    ],
)
def test_what_is_no_config_is_told_where(text, message):
    with pytest.raises(
        ConfigError, match=f"^Error parsing text-format tensorflow.serving.ModelServerConfig: {message}"
    ):
        parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'model_config_list { config { name: "m" } config { name: "m" } }',
            "Illegal to list model m multiple times in config list",
        ),
        (
            one('base_path: "models/m" model_platform: "tensorflow"'),
            r"to have an absolute path or URI; got base_path\(\)=models/m",
        ),
        (one('base_path: "/m" model_platform: "tflite"'), "Model m requests unsupported platform tflite"),
        (one('base_path: "/m"'), "Illegal setting neither"),
        (one('base_path: "/m" model_platform: "tensorflow" model_type: TENSORFLOW'), "Illegal setting both"),
        (one('base_path: "/m" model_type: OTHER'), "choice 2 not supported"),
        (
            one('base_path: "/m" model_platform: "tensorflow" model_version_policy { specific {} }'),
            "expected versions in the specific policy of model m; received: none",
        ),
        ("model_config_list { config { base_path: '/m' } }", "expected a name for every model"),
        ("custom_model_config {}", "received: a custom_model_config"),
    ],
)
def test_what_cannot_be_served_says_why(text, message):
    with pytest.raises(ConfigError, match=message):
        parse(text)


def test_a_message_is_read_as_its_text_is():
    message = ModelServerConfig()
    model = message.model_config_list.config.add(name="m", base_path="/m", model_platform="tensorflow")
    model.version_labels["stable"] = 2
    assert from_message(message) == (ModelConfig("m", "/m", labels={"stable": 2}),)
    model.base_path = "m"
    with pytest.raises(InvalidInput, match="absolute path"):
        from_message(message)


def test_only_a_list_of_models_can_replace_another():
    message = ModelServerConfig()
    with pytest.raises(InvalidInput, match="Only ModelConfigList is currently supported"):
        from_message(message)
    message.custom_model_config.SetInParent()
    with pytest.raises(InvalidInput, match="Only ModelConfigList is currently supported"):
        from_message(message)
    message.model_config_list.SetInParent()
    assert from_message(message) == ()


@pytest.mark.parametrize(
    ("policy", "aspired"),
    [
        (VersionPolicy(), (9,)),
        (VersionPolicy(latest=2), (9, 4)),
        (VersionPolicy(all=True), (9, 4, 1)),
        (VersionPolicy(specific=(1, 7)), (1,)),
    ],
)
def test_policies_choose_among_the_versions_there_are(policy, aspired):
    assert policy.aspired([4, 9, 1]) == aspired
