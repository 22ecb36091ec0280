"""TF Serving's two small config files in their text form: SSLConfig and MonitoringConfig.

The messages are described here because no package ships them: field names and numbers are those of
tensorflow_serving/config/ssl_config.proto and monitoring_config.proto.
"""

import ssl
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from serving.errors import InvalidInput

METRICS_PATH = "/monitoring/prometheus/metrics"


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """What a gRPC listener proves itself with, in PEM, and whom it asks to do the same.

    custom_ca: who must have signed a client's certificate; needed where client_verify is set.
    """

    server_key: bytes
    server_cert: bytes
    custom_ca: bytes = b""
    client_verify: bool = False


@dataclass(frozen=True, slots=True)
class MonitoringConfig:
    """Whether and where the REST port shows metrics."""

    enable: bool = True
    path: str = METRICS_PATH


def parse_tls_config(text: str) -> TlsConfig:
    """Reads an SSLConfig; raises InvalidInput, where key and certificate do not fit each other as well."""
    message = _parse("SSLConfig", text)
    for name in ("server_key", "server_cert"):
        if not getattr(message, name):
            raise InvalidInput(f"expected {name}, in PEM")
    if message.client_verify and not message.custom_ca:
        raise InvalidInput("expected custom_ca, in PEM, where client_verify is set")
    config = TlsConfig(
        message.server_key.encode(), message.server_cert.encode(), message.custom_ca.encode(), message.client_verify
    )
    try:
        _load(config)
    except (ssl.SSLError, ValueError) as error:
        raise InvalidInput(f"expected a key, its certificate and authorities in PEM: {error}") from None
    return config


def _load(config: TlsConfig) -> None:
    """Lets OpenSSL read it all, which it does from files only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = Path(folder) / "key", Path(folder) / "certificate"
        key.write_bytes(config.server_key)
        certificate.write_bytes(config.server_cert)
        context.load_cert_chain(certificate, key, password="")
    if config.custom_ca:
        context.load_verify_locations(cadata=config.custom_ca.decode())


def parse_monitoring_config(text: str) -> MonitoringConfig:
    """Reads a MonitoringConfig; raises InvalidInput."""
    prometheus = _parse("MonitoringConfig", text).prometheus_config
    path = prometheus.path or METRICS_PATH
    if not path.startswith("/"):
        raise InvalidInput(f"expected a prometheus_config.path that begins with '/'. Received: {path[:80]!r}")
    return MonitoringConfig(prometheus.enable, path)


def _parse(name: str, text: str) -> Any:
    try:
        return text_format.Parse(text, _messages()[name]())
    except text_format.ParseError as error:
        # What stands in the file may be a key: neither logs nor terminals get it.
        at = f"{error.GetLine() or 1}:{error.GetColumn() or 1}"
        raise InvalidInput(f"Error parsing text-format tensorflow.serving.{name}: {at}") from None


@cache
def _messages() -> dict[str, Any]:
    field = descriptor_pb2.FieldDescriptorProto
    fields: dict[str, tuple[tuple[str, int, str], ...]] = {
        "SSLConfig": (
            ("server_key", field.TYPE_STRING, ""),
            ("server_cert", field.TYPE_STRING, ""),
            ("custom_ca", field.TYPE_STRING, ""),
            ("client_verify", field.TYPE_BOOL, ""),
        ),
        "PrometheusConfig": (("enable", field.TYPE_BOOL, ""), ("path", field.TYPE_STRING, "")),
        "MonitoringConfig": (("prometheus_config", field.TYPE_MESSAGE, ".seqserve.PrometheusConfig"),),
    }
    file = descriptor_pb2.FileDescriptorProto(name="seqserve/config_files.proto", package="seqserve", syntax="proto3")
    for message, described in fields.items():
        added = file.message_type.add(name=message)
        for number, (name, kind, of) in enumerate(described, 1):
            added.field.add(name=name, number=number, type=kind, type_name=of or None, label=field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"seqserve.{name}")) for name in fields}
