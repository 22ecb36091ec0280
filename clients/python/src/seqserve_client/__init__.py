"""Forecasts, sketches and clips from a seqserve server, over gRPC and HTTP, without TensorFlow."""

from seqserve_client._async_client import AsyncClient
from seqserve_client._client import Client
from seqserve_client._exceptions import (
    BadAnswer,
    DeadlineExceeded,
    Denied,
    FailedPrecondition,
    Internal,
    InvalidInput,
    MissingDependency,
    NotFound,
    Overloaded,
    SeqserveError,
    Unavailable,
    Unsupported,
)
from seqserve_client._options import Retry, Timeout
from seqserve_client._results import (
    LEVELS,
    Classification,
    Forecast,
    InferResult,
    ModelMetadata,
    ServerMetadata,
    TensorMetadata,
)

__all__ = [
    "LEVELS",
    "AsyncClient",
    "BadAnswer",
    "Classification",
    "Client",
    "DeadlineExceeded",
    "Denied",
    "FailedPrecondition",
    "Forecast",
    "InferResult",
    "Internal",
    "InvalidInput",
    "MissingDependency",
    "ModelMetadata",
    "NotFound",
    "Overloaded",
    "Retry",
    "SeqserveError",
    "ServerMetadata",
    "TensorMetadata",
    "Timeout",
    "Unavailable",
    "Unsupported",
]
