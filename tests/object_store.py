"""An S3 server for tests, and the environment that leads to it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

BUCKET = "models"


@contextlib.contextmanager
def s3_server() -> Iterator[Any]:
    """Starts moto's server with one bucket; yields a client of it. Child processes find it by their environment."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
            environment.setenv("AWS_ACCESS_KEY_ID", "test")
            environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
            environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
            with contextlib.closing(boto3.client("s3")) as client:
                client.create_bucket(Bucket=BUCKET)
                yield client
    finally:
        server.stop()


def upload(client: Any, folder: Path, prefix: str) -> None:
    """Puts every file below `folder` under `prefix`."""
    for file in folder.rglob("*"):
        if file.is_file():
            client.upload_file(str(file), BUCKET, f"{prefix}/{file.relative_to(folder)}")
