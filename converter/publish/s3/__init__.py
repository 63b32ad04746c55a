"""Publish to S3: each version under its own prefix, its files first, what names them last.

A version's keys never change, so whoever reads latest.json finds all that it names. Nothing is kept between runs: what
the bucket holds says what is left to do, and a second run, or one after a kill, does only that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from converter.errors import PublishError
from converter.manifest.s3 import S3Options
from converter.model import Artifact, Published, PublishedFile, Step
from converter.publish import Finished, Progress
from converter.publish.s3 import index
from converter.publish.s3.client import connect
from converter.publish.s3.objects import Bucket, State
from converter.publish.s3.place import Place, place

ACTIONS: Mapping[State, str] = {"absent": "upload", "same": "skip", "other": "replace"}


@dataclass(frozen=True)
class S3:
    """A bucket, and where in it a version lies; `environment` says tag and project where the options do not."""

    options: S3Options
    environment: Mapping[str, str] = field(repr=False)

    @cached_property
    def _bucket(self) -> Bucket:
        return Bucket(connect(self.options), self.options)

    def plan(self, finished: Finished) -> Sequence[Step]:
        """What `publish` would do; raises PublishError where it would."""
        where = place(self.options, finished.record, self.environment)
        steps = [
            Step(action=ACTIONS[state], name=key, reason=_REASONS[state], size_bytes=file.size_bytes)
            for file, key, state in self._looked_up(finished, where)
        ]
        return [*steps, *index.plan(self._bucket, where, _entry(finished, where), latest=self.options.latest)]

    def publish(self, finished: Finished, progress: Progress) -> Published:
        """Upload what is not there yet, then name the version in index.json and at last in latest.json."""
        where = place(self.options, finished.record, self.environment)
        found = self._looked_up(finished, where)
        index.read(self._bucket, where)  # one that is not ours is found before anything is uploaded
        done = []
        for file, key, state in found:
            if state != "same":
                self._bucket.upload(key, finished.path(file), file, progress)
            progress(Path(key).name, file.size_bytes, file.size_bytes)
            done.append(_record(file, key, state, self._bucket.address(key)))
        self._bucket.abort_uploads(where.prefix)
        index.enter(self._bucket, where, _entry(finished, where), latest=self.options.latest)
        return Published(
            target=f"s3 {self.options.bucket}/{where.prefix}",
            files=tuple(done),
            outputs={
                "s3_uris": "\n".join(f"s3://{self.options.bucket}/{key}" for _, key, _ in found),
                "s3_prefix": f"s3://{self.options.bucket}/{where.prefix}",
                "s3_index_url": self._bucket.address(where.index),
                "s3_latest_url": self._bucket.address(where.latest),
            },
        )

    def _looked_up(self, finished: Finished, where: Place) -> Sequence[tuple[Artifact, str, State]]:
        """Each file, its key and what the bucket holds there; refuses other bytes where they may not be replaced."""
        keys = [(file, where.key(Path(file.path).name)) for file in finished.files]
        found = [(file, key, self._bucket.state(key, file)) for file, key in keys]
        others = [key for _, key, state in found if state == "other"]
        if others and self.options.existing == "fail":
            raise PublishError(
                f"{len(others)} keys of bucket {self.options.bucket} hold other bytes: {', '.join(others)}",
                where=("publish to s3",),
                fix="publish under another tag or prefix; `existing: replace` overwrites them",
            )
        return found


_REASONS: Mapping[State, str] = {
    "absent": "",
    "same": "the same bytes are there",
    "other": "other bytes are there",
}


def _entry(finished: Finished, where: Place) -> index.Entry:
    return index.entry(where, [(Path(f.path).name, f) for f in finished.files])


def _record(file: Artifact, key: str, state: State, url: str) -> PublishedFile:
    return PublishedFile(
        name=Path(key).name,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        url=url,
        action="skipped" if state == "same" else "replaced" if state == "other" else "uploaded",
    )
