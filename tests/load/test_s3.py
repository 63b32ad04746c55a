import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError
from botocore.response import StreamingBody
from botocore.stub import Stubber

from converter.errors import DownloadError
from converter.load import s3
from converter.load.download import download

URL = "s3://bucket/models/net.onnx"
CONTENT = b"weights" * 1000


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Any:
    client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="AKIDHUSH", aws_secret_access_key="hush")
    monkeypatch.setattr(s3, "client", lambda: client)
    with Stubber(client) as stubber:
        yield stubber


def says(content: bytes, length: int | None = None) -> dict[str, Any]:
    return {"Body": StreamingBody(io.BytesIO(content), len(content) if length is None else length)}


def test_an_object_is_fetched_by_bucket_and_key(bucket: Any, tmp_path: Path, sha256: Callable[[bytes], str]) -> None:
    bucket.add_response("get_object", says(CONTENT), {"Bucket": "bucket", "Key": "models/net.onnx"})
    assert download(URL, sha256=sha256(CONTENT), cache=tmp_path).read_bytes() == CONTENT


def test_a_busy_or_broken_answer_is_tried_again(bucket: Any, tmp_path: Path, sha256: Callable[[bytes], str]) -> None:
    bucket.add_client_error("get_object", "SlowDown", http_status_code=503)
    bucket.add_response("get_object", says(CONTENT[:10], len(CONTENT)))
    bucket.add_response("get_object", says(CONTENT))
    assert download(URL, sha256=sha256(CONTENT), cache=tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(("code", "status"), [("NoSuchKey", 404), ("AccessDenied", 403), ("InvalidAccessKeyId", 403)])
def test_a_refusal_is_final(code: str, status: int, bucket: Any, tmp_path: Path) -> None:
    bucket.add_client_error("get_object", code, service_message="key AKIDHUSH", http_status_code=status)
    with pytest.raises(DownloadError, match=f"{URL} answered {code}") as caught:
        download(URL, sha256=None, cache=tmp_path)
    assert "hush" not in str(caught.value).lower()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NoCredentialsError(), "no AWS credentials"),
        (EndpointConnectionError(endpoint_url="https://s3?hush"), "after 4 attempts: no connection to S3"),
    ],
)
def test_trouble_before_an_answer_is_said(
    error: Exception, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Client:
        def get_object(self, **_: str) -> Any:
            raise error

    monkeypatch.setattr(s3, "client", Client)
    with pytest.raises(DownloadError, match=words) as caught:
        download(URL, sha256=None, cache=tmp_path)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/", "s3:///key", "s3://bucket/key?versionId=1"])
def test_an_address_without_bucket_or_key_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="is not s3://bucket/key"):
        download(url, sha256=None, cache=tmp_path)


def test_the_client_leaves_retries_to_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    assert s3.client().meta.config.retries["total_max_attempts"] == 1
