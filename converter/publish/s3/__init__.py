"""Publish to S3: each version under its own prefix, its files first, what names them last.

A version's keys never change, so whoever reads latest.json finds all that it names. Nothing is kept between runs: what
the bucket holds says what is left to do, and a second run, or one after a kill, does only that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from converter.errors import PublishError
from converter.manifest.s3 import S3Options
from converter.model import Artifact, BuildRecord, Plan, Published, PublishedFile, Step
from converter.package.merge import listed
from converter.publish import Finished, Progress
from converter.publish.planned import hold
from converter.publish.s3 import index, parts
from converter.publish.s3.client import connect
from converter.publish.s3.objects import Bucket, State
from converter.publish.s3.place import Place, place
from converter.shards import shard_of

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
        if finished.record.shard:
            return [*_steps(self._looked_up(finished.files, where)), *self._plan_part(finished, where)]
        return self._plan_whole(where, finished.record, finished)

    def publish(self, finished: Finished, progress: Progress) -> Published:
        """Upload what is not there yet, then name the version in index.json and at last in latest.json.

        The same files of the same commit, built again, leave the version as it is: the first record of them stands. Of
        a part only the files and its own record go up; the part that completes the version closes it.
        """
        where = place(self.options, finished.record, self.environment)
        if finished.record.shard:
            return self._publish_part(finished, where, progress)
        return self._publish_whole(where, finished.record, progress, finished)

    def finalize(self, commit: str, plan: Plan | None, progress: Progress) -> Published:
        """Close a version whose parts are all there; once more changes nothing.

        Raises PublishError with every part that is missing, and where they are of another commit or `plan` promises
        something else. `commit` fills in {sha}, where the prefix has it.
        """
        where, record = self._gathered(commit, plan)
        return self._close(where, record, progress)

    def plan_finalize(self, commit: str, plan: Plan | None) -> Sequence[Step]:
        """What `finalize` would do."""
        where, record = self._gathered(commit, plan)
        return self._plan_whole(where, record)

    def _plan_whole(self, where: Place, record: BuildRecord, sent: Finished | None = None) -> Sequence[Step]:
        models = parts.built(record) if sent else []
        with parts.closed(self._bucket, where, record, sent.folder if sent else None) as version:
            named = index.plan(self._bucket, where, _entry(version, where), latest=self.options.latest)
            return [*_steps(self._looked_up([*models, *parts.closing(version)], where)), *named]

    def _publish_whole(
        self, where: Place, record: BuildRecord, progress: Progress, sent: Finished | None = None
    ) -> Published:
        """Put the models' files of `sent` there, where they are not yet, and what closes the version; then name it."""
        models = parts.built(record) if sent else []
        with parts.closed(self._bucket, where, record, sent.folder if sent else None) as version:
            found = self._looked_up([*models, *parts.closing(version)], where)
            index.read(self._bucket, where)  # one that is not ours is found before anything is uploaded
            done = self._upload(sent, found[: len(models)], progress) if sent else ()
            done += self._upload(version, found[len(models) :], progress)
            self._bucket.abort_uploads(where.prefix)
            index.enter(self._bucket, where, _entry(version, where), latest=self.options.latest)
        return self._published(where, found, done)

    def _publish_part(self, finished: Finished, where: Place, progress: Progress) -> Published:
        record, total = finished.record, shard_of(finished.record.shard).total
        parts.hold(self._bucket, where, record, replaces=self.options.existing == "replace")
        found = self._looked_up(finished.files, where)
        index.read(self._bucket, where)
        done = self._upload(finished, found, progress)
        parts.enter(self._bucket, where, record)
        published = self._published(where, found, done, f", part {record.shard}")
        if missing := parts.missing(self._bucket, where, total):
            return replace(published, target=f"{published.target}; still missing: {listed(map(str, missing))}")
        all_parts = parts.read_all(self._bucket, where, total)
        if others := [one.shard for one in all_parts.records.values() if one.commit != record.commit]:
            return replace(published, target=f"{published.target}; still of another commit: {listed(others)}")
        closed = self._close(where, parts.whole(all_parts, where), progress)
        return replace(
            published,
            target=f"{published.target}, which completes the version",
            files=(*published.files, *closed.files),
        )

    def _plan_part(self, finished: Finished, where: Place) -> Sequence[Step]:
        shard = shard_of(finished.record.shard)
        is_there = parts.hold(self._bucket, where, finished.record, replaces=self.options.existing == "replace")
        missing = [other for other in parts.missing(self._bucket, where, shard.total) if other != shard]
        last = Step(action="publish", name=where.index, reason=f"the last of {shard.total} parts")
        said = "the same part is there" if is_there else f"{len(missing)} other parts are missing"
        step = Step(action="skip" if is_there else "publish", name=parts.key(where, shard), reason=said)
        return [step] if missing else [step, last]

    def _gathered(self, commit: str, plan: Plan | None) -> tuple[Place, BuildRecord]:
        """The version's place and its record, from the parts that are there."""
        header = BuildRecord(manifest="", commit=commit, models=(), seconds=0.0)
        where = place(self.options, header, self.environment)
        found = parts.gather(self._bucket, where, len(plan.shards) if plan else None)
        record = parts.whole(found, where)
        if plan:
            hold(record, plan)
        else:
            parts.hold_commit(record, commit, where)
        return replace(where, commit=record.commit), record

    def _close(self, where: Place, record: BuildRecord, progress: Progress) -> Published:
        """Write what names a version's files, all of which must be there."""
        parts.hold_files(self._bucket, where, record)
        return self._publish_whole(where, record, progress)

    def _upload(
        self, finished: Finished, found: Sequence[tuple[Artifact, str, State]], progress: Progress
    ) -> tuple[PublishedFile, ...]:
        done = []
        for file, key, state in found:
            if state != "same":
                self._bucket.upload(key, finished.path(file), file, progress)
            progress(Path(key).name, file.size_bytes, file.size_bytes)
            done.append(_record(file, key, state, self._bucket.address(key)))
        return tuple(done)

    def _published(
        self,
        where: Place,
        found: Sequence[tuple[Artifact, str, State]],
        done: tuple[PublishedFile, ...],
        said: str = "",
    ) -> Published:
        return Published(
            target=f"s3 {self.options.bucket}/{where.prefix}{said}",
            files=done,
            outputs={
                "s3_uris": "\n".join(f"s3://{self.options.bucket}/{key}" for _, key, _ in found),
                "s3_prefix": f"s3://{self.options.bucket}/{where.prefix}",
                "s3_index_url": self._bucket.address(where.index),
                "s3_latest_url": self._bucket.address(where.latest),
            },
        )

    def _looked_up(self, files: Sequence[Artifact], where: Place) -> Sequence[tuple[Artifact, str, State]]:
        """Each file, its key and what the bucket holds there; refuses other bytes where they may not be replaced."""
        keys = [(file, where.key(Path(file.path).name)) for file in files]
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


def _steps(found: Sequence[tuple[Artifact, str, State]]) -> list[Step]:
    return [
        Step(action=ACTIONS[state], name=key, reason=_REASONS[state], size_bytes=file.size_bytes)
        for file, key, state in found
    ]


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
