"""gRPC over HTTP/2 inside the event loop, without threads of its own.

`frames`, `heads` and `packing` are what goes over the wire, `outflow` how much of it may; `connection` reads a client's
frames and hands each `stream`, which is one call, its own; `listener` takes connections and ends them.
"""

from serving.grpc.http2.listener import Listener
from serving.grpc.http2.stream import Limits

__all__ = ["Limits", "Listener"]
