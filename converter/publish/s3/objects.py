"""The objects of one bucket: compare, upload, verify. Every method raises PublishError."""

import contextlib
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlencode

from converter.errors import PublishError
from converter.manifest.s3 import S3Options
from converter.model import Artifact
from converter.publish import Progress
from converter.publish.s3.body import CHUNK_BYTES, Slice, composite, count_what_is_sent, digests, in_base64
from converter.publish.s3.client import address, asking, code

State = Literal["absent", "same", "other"]

PART_BYTES = 16 << 20
PARTS_MAX = 10_000  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
TRIES = 4  # of a whole object, where another publisher was in the way
TYPES = {
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".zip": "application/zip",
    "sha256sums": "text/plain; charset=utf-8",
}
_MISSING = ("404", "NoSuchKey", "NotFound")
_IN_THE_WAY = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409", "NoSuchUpload")
_UNKNOWN = ("NotImplemented", "501")


class Bucket:
    """A bucket through its client; `options` say how objects are made and checked."""

    def __init__(self, client: Any, options: S3Options, part_bytes: int = PART_BYTES) -> None:
        from botocore.exceptions import ClientError

        self._client, self._options, self._part_bytes = client, options, part_bytes
        self._error: Any = ClientError
        count_what_is_sent(client)

    def state(self, key: str, file: Artifact) -> State:
        """Whether the key holds the file: by its checksum, or else by reading it.

        Of an object of several parts the server knows the parts' checksums alone; that they were right when the object
        was made is what lets us believe our own note of the whole file's. Without them the note proves nothing: the
        publisher may have died before it read the object back.
        """
        head = self._head(key)
        if head is None:
            return "absent"
        if head["ContentLength"] != file.size_bytes:
            return "other"
        if self._options.checksums == "on" and (known := head.get("ChecksumSHA256")):
            if known == in_base64(bytes.fromhex(file.sha256)):
                return "same"
            if head.get("ChecksumType") == "FULL_OBJECT":
                return "other"
            if noted := head.get("Metadata", {}).get("sha256"):
                return "same" if noted == file.sha256 else "other"
        return "same" if self._read_sha256(key) == file.sha256 else "other"

    def upload(self, key: str, path: Path, file: Artifact, progress: Progress) -> None:
        """Put a file to its key, whole or not at all, and make sure that the server holds these bytes."""
        for _ in range(TRIES):
            try:
                confirmed = self._put(key, path, file, progress)
            except _InTheWayError as error:
                state = self.state(key, file)
                if state == "same":  # another publisher, or our own earlier attempt whose answer was lost
                    return
                if state == "other" and self._options.existing == "fail":
                    raise self._refusal(
                        key, f"the key holds other bytes since a moment ago{error.ids}", "publish under another tag"
                    ) from None
                continue
            if not confirmed and self._read_sha256(key) != file.sha256:
                raise self._refusal(key, "the server holds other bytes than were sent", "publish again, with replace")
            return
        raise self._refusal(key, f"another publisher was in the way {TRIES} times", "let it finish, and run again")

    def abort_uploads(self, prefix: str) -> None:
        """Give up the unfinished uploads below a prefix whose files are all there: no one needs them any more."""
        pages = self._client.get_paginator("list_multipart_uploads")
        with asking("abort unfinished uploads", self._options.bucket, prefix):
            try:
                for page in pages.paginate(Bucket=self._options.bucket, Prefix=prefix):
                    for upload in page.get("Uploads", ()):
                        self._abort(upload["Key"], upload["UploadId"])
            except self._error as error:
                # they cost storage, but harm no one, and not every role or server may list them
                if code(error) not in ("AccessDenied", "403", "MethodNotAllowed", *_UNKNOWN):
                    raise

    def address(self, key: str) -> str:
        return address(self._client, self._options, key)

    def sizes(self, prefix: str) -> dict[str, int]:
        """The keys below a prefix, each with its object's bytes."""
        pages = self._client.get_paginator("list_objects_v2")
        with asking("list", self._options.bucket, prefix):
            found = pages.paginate(Bucket=self._options.bucket, Prefix=prefix)
            return {entry["Key"]: entry["Size"] for page in found for entry in page.get("Contents", ())}

    def read(self, key: str) -> tuple[bytes, str] | None:
        """The bytes of a small object and its ETag; None where there is none."""
        with asking("read", self._options.bucket, key):
            try:
                answer = self._client.get_object(Bucket=self._options.bucket, Key=key)
            except self._error as error:
                if code(error) in _MISSING:
                    return None
                raise
            return answer["Body"].read(), answer["ETag"]

    def swap(self, key: str, content: bytes, etag: str | None) -> bool:
        """Write a small object if it still has this ETag, or is still absent; False where another was quicker.

        Where the server knows no conditions the last writer wins.
        """
        condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        properties = self._properties(key, hashlib.sha256(content).hexdigest(), self._options.index_cache_control)
        if self._options.checksums == "on":
            properties |= _checksum(hashlib.sha256(content).digest())
        with asking("write", self._options.bucket, key):
            try:
                self._on_condition(self._client.put_object, condition, Key=key, Body=content, **properties)
            except _InTheWayError:
                return False
        return True

    def _put(self, key: str, path: Path, file: Artifact, progress: Progress) -> bool:
        """Upload in one request or in parts; True where the server confirmed the checksum."""
        properties = self._properties(key, file.sha256, self._options.cache_control)
        condition = {} if self._options.existing == "replace" else {"IfNoneMatch": "*"}
        try:
            with asking("upload", self._options.bucket, key):
                if file.size_bytes > self._part_bytes:
                    return self._put_parts(key, path, file, properties, condition, progress)
                return self._put_whole(key, path, file, properties, condition, progress)
        except OSError as error:
            raise self._refusal(key, f"{path} cannot be read: {error.strerror}", "publish again") from error

    def _put_whole(
        self,
        key: str,
        path: Path,
        file: Artifact,
        properties: dict[str, Any],
        condition: Mapping[str, str],
        progress: Progress,
    ) -> bool:
        checksum = _checksum(bytes.fromhex(file.sha256))
        if self._options.checksums == "on":
            properties |= checksum
        with Slice(path, 0, file.size_bytes, lambda sent: progress(path.name, sent, file.size_bytes)) as body:
            answer = self._on_condition(self._client.put_object, condition, Key=key, Body=body, **properties)
        return bool(answer.get("ChecksumSHA256") == checksum["ChecksumSHA256"])

    def _put_parts(
        self,
        key: str,
        path: Path,
        file: Artifact,
        properties: dict[str, Any],
        condition: Mapping[str, str],
        progress: Progress,
    ) -> bool:
        part_bytes = max(self._part_bytes, -(-file.size_bytes // PARTS_MAX))
        whole, parts = digests(path, part_bytes)
        if whole != file.sha256:
            raise self._refusal(key, f"{path} was changed since it was checked", "build it again")
        is_on = self._options.checksums == "on"
        algorithm = {"ChecksumAlgorithm": "SHA256"} if is_on else {}
        at = {"Bucket": self._options.bucket, "Key": key}
        upload = self._client.create_multipart_upload(**at, **algorithm, **properties)["UploadId"]
        try:
            named = []
            for number, digest in enumerate(parts, 1):
                start = (number - 1) * part_bytes
                size = min(part_bytes, file.size_bytes - start)
                checksum = _checksum(digest) if is_on else {}

                def sent(so_far: int, start: int = start) -> None:
                    progress(path.name, start + so_far, file.size_bytes)

                with Slice(path, start, size, sent) as body:
                    answer = self._on_condition(
                        self._client.upload_part, {}, Key=key, UploadId=upload, PartNumber=number, Body=body, **checksum
                    )
                known = {name: answer[name] for name in ("ETag", "ChecksumSHA256") if name in answer}
                named.append({"PartNumber": number, **known})
            answer = self._on_condition(
                self._client.complete_multipart_upload,
                condition,
                Key=key,
                UploadId=upload,
                MultipartUpload={"Parts": named},
            )
        except BaseException:
            with contextlib.suppress(Exception):  # what went wrong first is what matters
                self._abort(key, upload)
            raise
        return bool(answer.get("ChecksumSHA256") == composite(parts))

    def _on_condition(self, send: Any, condition: Mapping[str, str], **arguments: Any) -> Any:
        """Send a request on a condition, or without it where the server knows no such condition."""
        try:
            return send(Bucket=self._options.bucket, **arguments, **condition)
        except self._error as error:
            if code(error) in _IN_THE_WAY:
                raise _InTheWayError(error.response.get("ResponseMetadata", {}).get("RequestId", "")) from None
            if not condition or code(error) not in _UNKNOWN:
                raise
        return self._on_condition(send, {}, **arguments)

    def _abort(self, key: str, upload: str) -> None:
        try:
            self._client.abort_multipart_upload(Bucket=self._options.bucket, Key=key, UploadId=upload)
        except self._error as error:
            if code(error) != "NoSuchUpload":  # finished or given up by another publisher
                raise

    def _head(self, key: str) -> Any:
        mode = {"ChecksumMode": "ENABLED"} if self._options.checksums == "on" else {}
        with asking("look up", self._options.bucket, key):
            try:
                return self._client.head_object(Bucket=self._options.bucket, Key=key, **mode)
            except self._error as error:
                if code(error) in _MISSING:
                    return None
                raise

    def _read_sha256(self, key: str) -> str:
        from botocore.exceptions import HTTPClientError, IncompleteReadError

        with asking("read back", self._options.bucket, key):
            for left in reversed(range(TRIES)):  # botocore tries a request again, but not an answer that breaks off
                found = hashlib.sha256()
                try:
                    body = self._client.get_object(Bucket=self._options.bucket, Key=key)["Body"]
                    for chunk in body.iter_chunks(CHUNK_BYTES):
                        found.update(chunk)
                    break
                except (HTTPClientError, IncompleteReadError):
                    if not left:
                        raise
        return found.hexdigest()

    def _properties(self, key: str, sha256: str, cache_control: str) -> dict[str, Any]:
        options = self._options
        name = key.rpartition("/")[2]
        optional = {
            "StorageClass": options.storage_class,
            "ServerSideEncryption": options.encryption,
            "SSEKMSKeyId": options.kms_key,
            "ACL": options.acl,
            "Tagging": urlencode(options.tags, quote_via=quote),
        }
        return {
            "ContentType": content_type(name, options.content_types),
            "ContentDisposition": disposition(name),
            "CacheControl": cache_control,
            "Metadata": {"sha256": sha256},
            **{name: value for name, value in optional.items() if value},
        }

    def _refusal(self, key: str, problem: str, fix: str) -> PublishError:
        return PublishError(problem, where=("publish to s3", f"s3://{self._options.bucket}/{key}"), fix=fix)


class _InTheWayError(Exception):
    """A condition did not hold, or our unfinished upload is gone: another publisher was there."""

    def __init__(self, request_id: str) -> None:
        super().__init__(request_id)
        self.ids = f" (request id {request_id})" if request_id else ""


def disposition(name: str) -> str:
    """Saved under its own name; one that is no plain ASCII is written as RFC 8187 has it."""
    if re.fullmatch(r"[A-Za-z0-9 ._+@()-]+", name):
        return f'attachment; filename="{name}"'
    return f"attachment; filename*=UTF-8''{quote(name, safe='')}"


def content_type(name: str, wanted: Mapping[str, str]) -> str:
    """By the longest ending that is known; capitals do not count."""
    known = {**TYPES, **{suffix.lower(): kind for suffix, kind in wanted.items()}}
    fitting = [suffix for suffix in known if name.lower().endswith(suffix)]
    return known[max(fitting, key=len)] if fitting else "application/octet-stream"


def _checksum(digest: bytes) -> dict[str, str]:
    return {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": in_base64(digest)}
