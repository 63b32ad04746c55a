"""The connection to S3, with boto3's own chain of credentials, and what it says when it fails.

Of an answer only its code, its status and its ids are repeated: messages can hold keys, tokens and signed addresses.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from converter.errors import PublishError
from converter.manifest.s3 import S3Options

ATTEMPTS = 8
TIMEOUTS_S = (10.0, 120.0)  # connect; read

_FIXES = {
    "AccessDenied": "check that these are the right credentials, and allow them s3:PutObject, s3:GetObject, "
    "s3:ListBucket, s3:AbortMultipartUpload and s3:ListBucketMultipartUploads; with `acl` also s3:PutObjectAcl, with "
    "`tags` s3:PutObjectTagging, with a KMS key kms:GenerateDataKey and kms:Decrypt",
    "AccessControlListNotSupported": "take `acl` out; the bucket refuses ACLs",
    "BadDigest": "the file was changed, or broken on its way; build it again, and publish again",
    "InvalidAccessKeyId": "check the credentials in use",
    "SignatureDoesNotMatch": "check the secret key, the region and the machine's clock",
    "ExpiredToken": "get new credentials; a session that assumes a role for longer may be needed",
    "InvalidIdentityToken": "check the role's trust policy: audience sts.amazonaws.com, and this workflow's subject",
    "NoSuchBucket": "make the bucket, or correct its name, the region or the endpoint",
    "PermanentRedirect": "set `region` to the bucket's",
    "AuthorizationHeaderMalformed": "set `region` to the bucket's",
    "NotImplemented": "the server does not know this request; take out what it has no use for (acl, tags, encryption, "
    "storage_class), or set `checksums: read-back`",
}
_SERVER = "the server is in trouble; run it again later, which completes what was begun"
_OTHER = "see the server's documentation for this code"
_SAME = {"403": "AccessDenied", "301": "PermanentRedirect", "XAmzContentSHA256Mismatch": "BadDigest"}


def connect(options: S3Options) -> Any:
    """A client for the bucket; faults of the network and busy servers are met with patience."""
    with asking("connect", options.bucket):
        return _client(options)


def address(client: Any, options: S3Options, key: str) -> str:
    """Where a key is downloaded, without any signature."""
    if options.public_url:
        return f"{options.public_url.rstrip('/')}/{quote(key)}"
    with asking("connect", options.bucket, key):
        signed = client.generate_presigned_url("get_object", Params={"Bucket": options.bucket, "Key": key})
    return str(signed).partition("?")[0]  # botocore alone knows how each region and style is addressed


def _client(options: S3Options) -> Any:
    import boto3
    from botocore.config import Config

    style = options.addressing
    if style == "auto" and options.endpoint:
        style = "path"
    connect_s, read_s = TIMEOUTS_S
    # our own SHA-256 goes along where it is wanted; botocore's CRC32 would only confuse servers that know none
    config: Any = Config(
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        connect_timeout=connect_s,
        read_timeout=read_s,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={
            "addressing_style": style,
            "payload_signing_enabled": True,
        },
    )
    session = boto3.session.Session()
    return session.client("s3", region_name=options.region, endpoint_url=options.endpoint, config=config)


def code(error: Any) -> str:
    """The code of a ClientError, `NoSuchKey` for example; of an answer without a body its status."""
    said = str(error.response.get("Error", {}).get("Code", ""))
    return said if re.fullmatch(r"[A-Za-z0-9.]{1,64}", said) else "an unknown code"


@contextlib.contextmanager
def asking(action: str, bucket: str, key: str = "") -> Iterator[None]:
    """Turn whatever boto3 raises into one PublishError that names bucket, key and request id, and no secret."""
    from botocore import exceptions as boto

    where = ("publish to s3", action, f"s3://{bucket}/{key}")
    try:
        yield
    except boto.ClientError as error:
        said = code(error)
        answer = error.response.get("ResponseMetadata", {})
        fix = _FIXES.get(_SAME.get(said, said), _SERVER if answer.get("HTTPStatusCode", 0) >= 500 else _OTHER)
        problem = f"{error.operation_name} answered {said}{_ids(answer)}"
        raise PublishError(problem, where=where, fix=fix) from None
    except (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError):
        raise PublishError("no AWS credentials were found", where=where, fix=_CREDENTIALS) from None
    except (boto.ProfileNotFound, boto.TokenRetrievalError, boto.UnauthorizedSSOTokenError, boto.ConfigParseError):
        raise PublishError("the AWS credentials cannot be used", where=where, fix=_CREDENTIALS) from None
    except (boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError) as error:
        raise PublishError(
            f"no connection to S3 ({type(error).__name__}), {ATTEMPTS} times",
            where=where,
            fix="check the endpoint and the network (a proxy is taken from HTTPS_PROXY); run it again to complete it",
        ) from None
    except (boto.BotoCoreError, ValueError) as error:  # boto3 says a wrong endpoint as a ValueError
        raise PublishError(
            f"boto3 refused the request ({type(error).__name__})", where=where, fix="check the options of this target"
        ) from None


_CREDENTIALS = (
    "let the workflow assume a role by OIDC (id-token: write), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
    "AWS_PROFILE"
)


def _ids(answer: Any) -> str:
    """` (HTTP 403, request id 4442587FB7D0A2F9)`"""
    headers = answer.get("HTTPHeaders", {})  # botocore leaves the ids there where a 5xx has no body
    ids = {
        "request id": str(answer.get("RequestId") or headers.get("x-amz-request-id", "")),
        "host id": str(answer.get("HostId") or headers.get("x-amz-id-2", "")),
    }
    words = [f"HTTP {answer['HTTPStatusCode']}"] if "HTTPStatusCode" in answer else []
    words += [f"{word} {text}" for word, text in ids.items() if re.fullmatch(r"[A-Za-z0-9+/=_.-]{1,128}", text)]
    return f" ({', '.join(words)})" if words else ""
