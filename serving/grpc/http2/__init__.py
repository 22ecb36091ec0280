"""gRPC over HTTP/2 inside the event loop, without threads of its own.

`frames` and `heads` are what goes over the wire, `windows` how much may; `connection` reads a client's frames and hands
each stream its own, and a stream is one call.
"""

from serving.grpc.http2.listener import Listener
from serving.grpc.http2.stream import Limits

__all__ = ["Limits", "Listener"]
