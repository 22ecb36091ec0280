import pytest

from serving.errors import InvalidInput
from serving.tfserving.config_files import METRICS_PATH, MonitoringConfig, parse_monitoring_config, parse_tls_config

from ..certificates import Authority, ssl_config


def test_a_key_its_certificate_and_an_authority_are_read() -> None:
    authority = Authority()
    pair = authority.issue("server")
    config = parse_tls_config(ssl_config(pair, custom_ca=authority.certificate, client_verify="true"))
    assert config.server_key == pair.key.encode()
    assert config.server_cert == pair.certificate.encode()
    assert config.custom_ca == authority.certificate.encode()
    assert config.client_verify
    assert not parse_tls_config(ssl_config(pair)).client_verify


def test_what_cannot_serve_is_refused_and_no_key_is_told() -> None:
    authority = Authority()
    one, other = authority.issue("one"), authority.issue("other")
    with pytest.raises(InvalidInput, match="expected server_key, in PEM"):
        parse_tls_config("")
    with pytest.raises(InvalidInput, match=r"expected a key, its certificate .* in PEM"):
        parse_tls_config(f"server_key: {one.key!r} server_cert: {other.certificate!r}")
    with pytest.raises(InvalidInput, match="expected custom_ca, in PEM, where client_verify is set"):
        parse_tls_config(ssl_config(one, client_verify="true"))
    with pytest.raises(InvalidInput, match=r"tensorflow.serving.SSLConfig: 1:\d+$") as caught:
        parse_tls_config("server_key: secret")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prometheus_config { enable: true }", MonitoringConfig(True, METRICS_PATH)),
        ('prometheus_config: { enable: true, path: "/metrics" }', MonitoringConfig(True, "/metrics")),
        ("prometheus_config { enable: false }", MonitoringConfig(False, METRICS_PATH)),
        ("", MonitoringConfig(False, METRICS_PATH)),
    ],
)
def test_monitoring_is_where_the_file_says(text: str, expected: MonitoringConfig) -> None:
    assert parse_monitoring_config(text) == expected


@pytest.mark.parametrize("text", ["prometheus_config { enabled: true }", 'prometheus_config { path: "metrics" }'])
def test_a_bad_monitoring_config_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_monitoring_config(text)
