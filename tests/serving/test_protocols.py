"""docs/protocols.md names every RPC, field, route and flag of both protocols, and says of each what the server does."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from starlette.convertors import CONVERTOR_TYPES
from starlette.routing import Route
from tensorflow_serving.apis import model_service_pb2, prediction_service_pb2
from tritonclient.grpc import service_pb2

from serving.grpc.server import Server
from serving.rest.app import build_app
from serving.rest.monitoring import FAMILIES
from serving.settings import Settings
from serving.tfserving.flags import TFSERVING_FLAGS, Treatment

PAGE = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")
SERVICES = [
    service
    for module in (prediction_service_pb2, model_service_pb2, service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
]
METHODS = [method for service in SERVICES for method in service.methods]
# What a row may say of a thing, and which of it is nothing that callers get.
ANSWERS = {"served", "ignored", "refused", "not sent"}


def rows(heading: str) -> dict[str, str]:
    """The first two columns of the tables below a heading."""
    section = re.split(rf"^#+ {re.escape(heading)}$", PAGE, maxsplit=1, flags=re.MULTILINE)[1]
    section = re.split(r"^## ", section, maxsplit=1, flags=re.MULTILINE)[0]
    found = re.findall(r"^\| `([^`]+)` \| ([^|]+?) \|", section, re.MULTILINE)
    assert len(found) == len({name for name, _ in found}), f"rows of '{heading}' that stand twice"
    return dict(found)


RPCS = rows("gRPC methods")
FIELDS = {
    "tensorflow": rows("Fields of TF Serving's messages"),
    "inference": rows("Fields of the Open Inference Protocol's messages"),
}
ROUTES = rows("REST routes")
FLAGS = rows("Flags of tensorflow_model_server")


def fields(message: Descriptor, seen: set[str]) -> Iterator[tuple[str, str]]:
    """The fields that a caller may send or get, and those of messages in them, as far as these are served.

    Each with the table that it belongs into.
    """
    table = message.full_name.partition(".")[0]
    if message.full_name in seen or table not in FIELDS:
        return
    seen.add(message.full_name)
    for field in message.fields:
        kind = field.message_type
        if message.GetOptions().map_entry:
            if kind is not None:
                yield from fields(kind, seen)
            continue
        name = f"{message.full_name.removeprefix(f'{message.file.package}.')}.{field.name}"
        yield table, name
        if kind is not None and FIELDS[table].get(name) == "served":
            yield from fields(kind, seen)


def test_every_row_says_what_the_server_does() -> None:
    for table in (RPCS, *FIELDS.values(), ROUTES):
        assert set(table.values()) <= ANSWERS


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
async def test_methods_are_served_as_the_table_says(engine, method: MethodDescriptor) -> None:
    server = Server(engine, engine.control, addresses=["127.0.0.1:0"])
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        served = await _is_served(channel, method)
    await server.drain(0)
    assert RPCS[f"{method.containing_service.name}.{method.name}"] == ("served" if served else "refused")


async def _is_served(channel: grpc.aio.Channel, method: MethodDescriptor) -> bool:
    path = f"/{method.containing_service.full_name}/{method.name}"
    call = channel.stream_stream(path)(iter([b""]), timeout=10)
    with contextlib.suppress(grpc.RpcError):
        async for _ in call:
            break
    call.cancel()
    return await call.code() is not grpc.StatusCode.UNIMPLEMENTED


def test_the_table_has_no_method_that_is_not_there() -> None:
    assert RPCS.keys() == {f"{method.containing_service.name}.{method.name}" for method in METHODS}


def test_every_field_of_a_served_method_is_in_the_table() -> None:
    seen: set[str] = set()
    expected: set[tuple[str, str]] = set()
    for method in METHODS:
        if RPCS[f"{method.containing_service.name}.{method.name}"] == "served":
            expected |= {*fields(method.input_type, seen), *fields(method.output_type, seen)}
    told = {(table, name) for table, rows in FIELDS.items() for name in rows}
    assert told - expected == set()
    assert expected - told == set()


def test_every_route_is_in_the_table(engine) -> None:
    app = build_app(engine, engine.control)
    expected = set()
    for route in app.routes:
        assert isinstance(route, Route)
        path = route.path
        for name in CONVERTOR_TYPES:
            path = path.replace(f":{name}}}", "}")
        expected |= {f"{method} {path}" for method in route.methods or () if method != "HEAD"}
    assert {*ROUTES} == expected


def test_every_flag_is_in_the_table() -> None:
    assert {name: flag.treatment.value for name, flag in TFSERVING_FLAGS.items()} == FLAGS
    served = {name for name, flag in TFSERVING_FLAGS.items() if flag.treatment is Treatment.SERVED}
    assert served - {"version"} <= Settings.model_fields.keys()


def test_every_metric_is_in_the_table() -> None:
    assert {name for name, answer in rows("Monitoring").items() if answer == "served"} == {f.name for f in FAMILIES}
