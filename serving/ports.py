"""Ports that several workers share (SO_REUSEPORT), claimed once by the process that starts them."""

import ipaddress
import socket


class PortError(OSError):
    """The port cannot be had, as a rule because another process has it; the message names it."""


def check(host: str, port: int, purpose: str) -> None:
    """Fails where anyone listens on the port, even someone who would share it.

    Raises PortError, or OSError where the address is not this machine's.
    """
    with socket.socket(_family(host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            raise PortError(_message(host, port, purpose, error)) from None


def free(host: str) -> int:
    """A port that nobody has at this moment."""
    with socket.socket(_family(host)) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def hold(host: str, port: int, purpose: str) -> socket.socket:
    """Checks the port and keeps it: bound but not listening, so that only sockets of `listen` accept."""
    check(host, port, purpose)
    held = socket.socket(_family(host))
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        try:
            held.bind((host, port))
        except OSError:
            # Only connections that ended lately are left there. Without this option, others' checks fail on us.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind((host, port))
    except OSError as error:
        held.close()
        raise PortError(_message(host, port, purpose, error)) from None
    return held


def listen(host: str, port: int, backlog: int = 2048, *, share: bool = True) -> socket.socket:
    """One worker's listening socket; the kernel spreads new connections over all that listen.

    share: whether others may listen there, too. Raises PortError.
    """
    listening = socket.socket(_family(host))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(share))
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise PortError(f"cannot listen on {host} port {port}: {error.strerror or error}") from None
    listening.listen(backlog)
    listening.setblocking(False)
    return listening


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET


def _message(host: str, port: int, purpose: str, error: OSError) -> str:
    return f"cannot listen on {host} port {port} ({purpose}): {error.strerror or error}"
