import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving.flags import GROUPS, help_text, parse
from serving.settings import Settings, SettingsError
from serving.tfserving.flags import TFSERVING_FLAGS, Treatment

ROOT = Path(__file__).resolve().parents[2]


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("SEQSERVE_", "MODEL_"))}
    command = [sys.executable, "-m", "serving", *flags]
    return subprocess.run(command, cwd=ROOT, env=variables, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--port=8600"], {"port": "8600"}),
        (["--port", "8600"], {"port": "8600"}),
        (["--rest-api-port=1"], {"rest_api_port": "1"}),
        (["--port=1", "--port=2"], {"port": "2"}),
        (["--file_system_poll_wait_seconds", "-1"], {"file_system_poll_wait_seconds": "-1"}),
        (["--grpc_channel_arguments=a=1,b=2"], {"grpc_channel_arguments": "a=1,b=2"}),
        (["--enable_batching"], {"enable_batching": "true"}),
        (["--enable_batching", "--port=1"], {"enable_batching": "true", "port": "1"}),
        (["--enable_batching=1"], {"enable_batching": "true"}),
        (["--enable_batching=false"], {"enable_batching": "false"}),
        (["--enable_batching=True"], {"enable_batching": "true"}),
        (["--xla", "false", "--port=1"], {"xla": "false", "port": "1"}),
        (["--model_config_file=", "--monitoring_config_file="], {}),
    ],
)
def test_flags_are_read_as_tf_serving_reads_them_and_a_little_more(flags: list[str], expected: dict[str, str]) -> None:
    assert parse(flags).settings == expected


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--prot=1"], r"unknown flag --prot; did you mean --port\?"),
        (["--model_basepath=/m"], r"did you mean --model_base_path\?"),
        (["--zzzzzzzz"], r"unknown flag --zzzzzzzz; --help lists them all"),
        (["serve"], r"expected a flag, --name=value. Received: 'serve'"),
        (["--port"], r"--port: expected a value after it"),
        (["--port", "--xla"], r"--port: expected a value after it"),
        (["--enable_batching=perhaps"], r"--enable_batching: expected true or false. Received: 'perhaps'"),
        (["--use_alts_credentials"], r"--use_alts_credentials is not served: use ssl_config_file"),
        (["--platform_config_file=p"], r"--platform_config_file is not served: .* Received: 'p'"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(flags: list[str], expected: str) -> None:
    with pytest.raises(SettingsError, match=expected):
        parse(flags)


def test_every_flag_of_tf_serving_is_known() -> None:
    for name, flag in TFSERVING_FLAGS.items():
        if flag.treatment is Treatment.SERVED:
            assert name in Settings.model_fields or name == "version"
        else:
            assert name not in Settings.model_fields
            assert flag.how
        if flag.treatment is Treatment.OTHERWISE:
            assert parse([f"--{name}=1"]).notes == (f"--{name}: {flag.how}",)
        if flag.treatment is Treatment.REFUSED:
            assert parse([f"--{name}={flag.harmless[0]}"]).settings == {}


def test_help_lists_every_setting_once_with_its_description_in_one_line() -> None:
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(Settings.model_fields)
    lines = help_text().splitlines()
    for name, field in Settings.model_fields.items():
        (line,) = [line for line in lines if line.startswith(f"  --{name} ")]
        assert field.description is not None
        assert field.description in line


def test_the_command_helps_and_says_its_version() -> None:
    assert "--model_config_file" in run("--help").stdout
    assert run("--version").stdout.startswith("seqserve: ")


@pytest.mark.parametrize(
    ("flag", "expected"),
    [("--workers=none", "seqserve: workers: "), ("--prot=1", "seqserve: unknown flag --prot; did you mean --port?")],
)
def test_a_bad_flag_ends_the_start_with_one_line(flag: str, expected: str) -> None:
    ended = run(flag)
    assert ended.returncode != 0
    assert ended.stderr.startswith(expected)
    assert len(ended.stderr.splitlines()) == 1
