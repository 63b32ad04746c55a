"""A store in S3: `models/KEY.json` names the files, `files/SHA256` holds them, `names/NAME` the newest key of the name.

Files are written before what names them, and a file's key follows from its bytes: neither a second writer nor one that
is killed leaves an entry that names other bytes. Nothing is dropped here; a lifecycle rule of the bucket may do it.
"""

import contextlib
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from converter.model import ModelRecord
from converter.store.entry import DamagedError, StoreError, from_text, hold, to_text

ATTEMPTS = 5
TIMEOUTS_S = (10.0, 60.0)  # connect; read
_AT_ONCE = 16
_MISSING = ("404", "NoSuchKey", "NotFound")


class S3Store:
    """Credentials, region and endpoint come from boto3's own chain (AWS_ENDPOINT_URL works too)."""

    at_once = _AT_ONCE

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket, self.prefix = bucket, f"{prefix}/" if prefix else ""
        self._lock = threading.Lock()
        self._connected: Any = None

    def find(self, key: str) -> ModelRecord | None:
        text = self._read(f"models/{key}.json")
        return None if text is None else from_text(text, key)

    def newest(self, name: str) -> ModelRecord | None:
        key = (self._read(f"names/{name}") or b"").decode("ascii", "replace")
        try:
            return self.find(key) if re.fullmatch(r"[0-9a-f]{64}", key) else None
        except DamagedError:  # of another release perhaps, which writes other records
            return None

    def fetch(self, record: ModelRecord, folder: Path) -> None:
        for artifact in record.artifacts:
            file = folder / Path(artifact.path).name
            with self._asking(f"files/{artifact.sha256}") as key:
                self._client.download_file(self.bucket, key, str(file))
        hold(record, folder)

    def put(self, record: ModelRecord, folder: Path) -> None:
        # Written again although they may be there: what a lifecycle rule drops by age is then as young as its record.
        for artifact in record.artifacts:
            with self._asking(f"files/{artifact.sha256}") as key:
                self._client.upload_file(str(folder / Path(artifact.path).name), self.bucket, key)
        for name, text in ((f"models/{record.key}.json", to_text(record)), (f"names/{record.name}", record.key)):
            with self._asking(name) as key:
                self._client.put_object(Bucket=self.bucket, Key=key, Body=text.encode())

    def used(self, key: str) -> None:
        """Nothing is dropped, so nothing is noted."""

    def close(self) -> None:
        """Nothing is dropped."""

    def _read(self, name: str) -> bytes | None:
        from botocore.exceptions import ClientError

        with self._asking(name) as key:
            try:
                content: bytes = self._client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
            except ClientError as error:
                if _code(error) in _MISSING:
                    return None
                raise
        return content

    @property
    def _client(self) -> Any:
        with self._lock:  # a session is not made by several threads at once; a client serves them all
            if self._connected is None:
                self._connected = self._connect()
            return self._connected

    def _connect(self) -> Any:
        import boto3
        from botocore.config import Config

        connect_s, read_s = TIMEOUTS_S
        config: Any = Config(
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            connect_timeout=connect_s,
            read_timeout=read_s,
            max_pool_connections=2 * _AT_ONCE,
            request_checksum_calculation="when_required",  # older servers know none; each file is held to its sha256
            response_checksum_validation="when_required",
        )
        return boto3.session.Session().client("s3", config=config)

    @contextlib.contextmanager
    def _asking(self, name: str) -> Iterator[str]:
        """The full key; whatever boto3 raises about it becomes one StoreError without secrets."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        key, place = f"{self.prefix}{name}", f"s3://{self.bucket}/{self.prefix}"
        try:
            yield key
        except ClientError as error:
            said = _code(error)
            if said in _MISSING:
                raise DamagedError(f"{place}{name} is missing, though an entry names it") from None
            raise StoreError(f"{place} cannot be used: {error.operation_name} answered {said}") from None
        except Boto3Error as error:  # an upload's trouble, with the bucket's answer inside
            found = re.search(r"\(([A-Za-z0-9.]{1,64})\)", str(error))
            raise StoreError(f"{place} cannot be used: an upload failed{f' ({found[1]})' if found else ''}") from None
        except (BotoCoreError, ValueError) as error:
            raise StoreError(f"{place} cannot be used: {type(error).__name__}") from None
        except OSError as error:
            raise StoreError(f"{error.filename or place}: {error.strerror}") from None


def _code(error: Any) -> str:
    said = str(error.response.get("Error", {}).get("Code", ""))
    return said if re.fullmatch(r"[A-Za-z0-9.]{1,64}", said) else "an unknown code"
