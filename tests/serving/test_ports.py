import re
import socket

import pytest

from serving import ports

HOST = "127.0.0.1"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ports.PortError, match=re.escape(f"{HOST} port {port} (rest_api_port)")):
            ports.check(HOST, port, "rest_api_port")


def test_a_port_that_would_be_shared_counts_as_taken() -> None:
    port = _free_port()
    with ports.listen(HOST, port), pytest.raises(ports.PortError, match=str(port)):
        ports.hold(HOST, port, "port")


def test_workers_share_a_held_port_and_nobody_else_gets_it() -> None:
    port = _free_port()
    with ports.hold(HOST, port, "port"), socket.socket() as stranger:
        with pytest.raises(OSError, match="in use"):
            stranger.bind((HOST, port))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, port), timeout=5)
        with ports.listen(HOST, port), ports.listen(HOST, port):
            socket.create_connection((HOST, port), timeout=5).close()


def test_a_port_that_is_held_counts_as_taken() -> None:
    port = _free_port()
    with ports.hold(HOST, port, "port"), pytest.raises(ports.PortError, match=str(port)):
        ports.hold(HOST, port, "port")


def test_a_port_is_held_again_right_after_its_connections_ended() -> None:
    port = _free_port()
    with ports.hold(HOST, port, "port"), ports.listen(HOST, port) as listening:
        caller = socket.create_connection((HOST, port), timeout=5)
        listening.setblocking(True)
        listening.accept()[0].close()
        assert caller.recv(1) == b""
        caller.close()
    ports.hold(HOST, port, "port").close()


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ports.PortError, match="assign"):
        ports.check("203.0.113.1", _free_port(), "port")
