"""An S3 server on loopback, for tests that speak the real protocol."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def serving() -> Iterator[str]:
    """The address of a server that runs meanwhile."""
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    started = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    started.start()
    host, port = started.get_host_and_port()
    yield f"http://{host}:{port}"
    started.stop()


@contextmanager
def bucket(address: str, name: str) -> Iterator[Any]:
    """A client of the server at `address`, with a bucket that is emptied afterwards; the environment leads there."""
    boto3 = pytest.importorskip("boto3", reason="the extra `rekognition` is not installed")
    s3fs = pytest.importorskip("s3fs", reason="the extra `s3` is not installed")
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": "a key",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_CONFIG_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1",
        }.items():
            patch.setenv(variable, value)
        s3fs.S3FileSystem.clear_instance_cache()
        client = boto3.client("s3", endpoint_url=address)
        client.create_bucket(Bucket=name)
        yield client
        for found in client.list_objects_v2(Bucket=name).get("Contents", []):
            client.delete_object(Bucket=name, Key=found["Key"])
        s3fs.S3FileSystem.clear_instance_cache()
