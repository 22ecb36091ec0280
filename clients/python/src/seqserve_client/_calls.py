"""A call before it is sent: what goes out and how the answer is read. No I/O here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Rpc(Generic[T]):
    """One unary gRPC call: the stub's method, its message and how to read the answer."""

    method: str
    request: Any
    read: Callable[[Any], T]

    def then(self, step: Callable[[T], U]) -> "Rpc[U]":
        """The same call with one more step of reading."""
        return Rpc(self.method, self.request, lambda answer: step(self.read(answer)))


@dataclass(frozen=True, slots=True)
class Upload(Generic[T]):
    """One file sent over HTTP as a multipart field, and how to read the JSON answer."""

    path: str
    field: str
    filename: str
    content: bytes
    read: Callable[[Any], T]
