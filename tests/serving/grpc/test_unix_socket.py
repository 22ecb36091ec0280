"""The Unix socket that workers share by turns."""

import asyncio
import socket
import time
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from serving.grpc.server import Server
from serving.grpc.unix_socket import UnixSocket


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "grpc.sock"


@pytest.fixture
def make(engine, path):
    def serve(address: str) -> Server:
        return Server(engine, engine.control, addresses=[address])

    return lambda: UnixSocket(path, path.with_name("lock"), serve)


async def answers(path: Path) -> bool:
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        request = health_pb2.HealthCheckRequest()
        answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=5, wait_for_ready=True)
    return answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_clients_are_answered_on_the_path_and_it_goes_with_the_server(make, path):
    only = make()
    only.start()
    assert await answers(path)
    await only.drain(1)
    assert not list(path.parent.glob("grpc.sock*"))


async def test_a_socket_that_a_killed_worker_left_is_replaced(make, path):
    await asyncio.to_thread(leave_socket, path)
    only = make()
    only.start()
    limit = time.monotonic() + 5
    while not await asyncio.to_thread(connects, path):
        assert time.monotonic() < limit
    assert await answers(path)
    await only.drain(1)


async def test_one_at_a_time_and_the_next_takes_over(make, path):
    first, second = make(), make()
    first.start()
    assert await answers(path)
    inode = path.stat().st_ino
    second.start()
    await asyncio.sleep(0.7)
    assert path.stat().st_ino == inode
    await first.drain(1)
    assert await answers(path)
    await second.drain(1)
    assert not path.exists()


def leave_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0
