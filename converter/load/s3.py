"""Reading an s3:// address as a stream of bytes, with AWS's own chain of credentials (AWS_ENDPOINT_URL works too)."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from converter.errors import DownloadError
from converter.load.https import CHUNK_BYTES, TIMEOUT_S, shown
from converter.load.transient import TransientError


def client() -> Any:
    """An S3 client that makes one attempt; download.py makes the others."""
    import boto3
    from botocore.config import Config

    connect_s, read_s = TIMEOUT_S
    retries: Any = {"total_max_attempts": 1}
    return boto3.session.Session().client(
        "s3", config=Config(retries=retries, connect_timeout=connect_s, read_timeout=read_s)
    )


def read(url: str) -> Iterator[bytes]:
    """The bytes of `s3://bucket/key`, as chunks; raises as https.read does."""
    from botocore import exceptions as boto

    parts = urlsplit(url)
    key = parts.path.lstrip("/")
    if not (parts.netloc and key) or parts.query or "@" in parts.netloc:
        raise DownloadError(f"{shown(url)} is not s3://bucket/key", fix="give the bucket and the key alone")
    try:
        body = client().get_object(Bucket=parts.netloc, Key=key)["Body"]
        yield from body.iter_chunks(CHUNK_BYTES)
    except boto.ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status >= 500 or code in ("SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable"):
            raise TransientError(f"{shown(url)} answered {code}") from None
        raise DownloadError(
            f"{shown(url)} answered {code}",
            fix="check bucket, key and region, and that the AWS credentials in use allow s3:GetObject on it",
        ) from None
    except (boto.NoCredentialsError, boto.PartialCredentialsError, boto.ProfileNotFound, boto.TokenRetrievalError):
        raise DownloadError(
            f"{shown(url)}: no AWS credentials were found",
            fix="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or a role; "
            "a public object can be read by its https:// address",
        ) from None
    except boto.ParamValidationError:
        raise DownloadError(f"{shown(url)} is not s3://bucket/key", fix="give the bucket and the key alone") from None
    except (boto.HTTPClientError, boto.EndpointConnectionError, boto.IncompleteReadError) as error:
        raise TransientError(f"no connection to S3 ({type(error).__name__})") from None
    except boto.BotoCoreError as error:
        raise DownloadError(
            f"{shown(url)} could not be fetched ({type(error).__name__})", fix="check AWS's settings and the address"
        ) from None
