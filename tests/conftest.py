"""Fixtures that all tests share."""

import os
import uuid
from types import SimpleNamespace

import pytest
from s3_server import LOGIN, run_fault_proxy, run_s3_server, set_login

if "PYTEST_XDIST_WORKER" in os.environ:
    # Several processes beside each other: with all cores each, torch's threads would only wait.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def s3_server():
    """A client of moto's S3 server, which is one process for all tests."""
    boto3 = pytest.importorskip("boto3")
    pytest.importorskip("moto")
    with run_s3_server() as url:
        names = ("aws_access_key_id", "aws_secret_access_key", "region_name")
        login = dict(zip(names, LOGIN.values(), strict=True))
        yield boto3.client("s3", endpoint_url=url, **login)


@pytest.fixture
def s3(s3_server):
    """A bucket of the test's own, behind a proxy that can misbehave; the login is set."""
    bucket = f"b-{uuid.uuid4().hex}"
    s3_server.create_bucket(Bucket=bucket)

    def put(key: str, content: bytes) -> None:
        s3_server.put_object(Bucket=bucket, Key=key, Body=content)

    def list_keys() -> list[str]:
        found = s3_server.list_objects_v2(Bucket=bucket).get("Contents", [])
        return [item["Key"] for item in found]

    url = s3_server.meta.endpoint_url
    with run_fault_proxy(url) as proxy, set_login(proxy.url):
        yield SimpleNamespace(
            uri=f"s3://{bucket}",
            proxy=proxy,
            put=put,
            delete=lambda key: s3_server.delete_object(Bucket=bucket, Key=key),
            list_keys=list_keys,
        )
