"""One release from one dist: found or drafted, filled, checked by a last listing, and only then published."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

from converter.errors import PublishError
from converter.model import Published, PublishedFile, Step
from converter.publish import Finished, Progress, hold_whole
from converter.publish.github.client import RefusedError, UnclearError
from converter.publish.github.comparison import Comparison
from converter.publish.github.filling import ROUNDS, Filling, hold_present
from converter.publish.github.history import body
from converter.publish.github.names import LONGEST_BODY, asset_name, flat_name, hold_limits, temporary_parts
from converter.publish.github.notes import DRAFT, is_given
from converter.publish.github.options import Options
from converter.publish.github.repository import Asset, GoneError, Release, Repository

T = TypeVar("T")


class Publication:
    """The release of `options`, in `repository`, of the files in `finished`."""

    def __init__(self, repository: Repository, options: Options, finished: Finished) -> None:
        hold_whole(finished)
        self._repository = repository
        self._pace = repository.client.pace
        self._options = options
        self._finished = finished
        self._comparison = Comparison(repository, options, finished)
        self._is_maker = False
        self._where = ("publish to github", f"{options.repository} {options.tag}")
        hold_limits(finished.files, options.notes if is_given(options.notes) else "")

    def plan(self) -> list[Step]:
        return self._patient(lambda: list(self._steps()))

    def publish(self, progress: Progress) -> Published:
        return self._patient(lambda: self._published(progress))

    def _patient(self, call: Callable[[], T]) -> T:
        """Begin anew where another run removed the release on the way."""
        for _ in range(ROUNDS):
            with suppress(GoneError):
                return call()
        raise PublishError(
            "the release was removed while it was filled, again and again",
            where=self._where,
            fix="see who else works on it, and run it again",
        )

    def _steps(self) -> Iterator[Step]:
        options = self._options
        releases = self._repository.releases()
        release = self._chosen(releases)
        assets = self._repository.assets(release) if release else []
        differences = self._comparison.of_all(assets, release)
        if release:
            self._comparison.hold_policy(release, differences)
        else:
            yield Step(action="create", name=options.tag, reason=f"draft in {options.repository}")
        for item in differences:
            yield Step(
                action={"keep": "skip", "finish": "upload"}.get(item.action, item.action),
                name=asset_name(flat_name(item.file)),
                reason=item.reason,
                size_bytes=0 if item.action == "finish" else item.file.size_bytes,
            )
        used = [item.asset for item in differences]
        for asset in assets:
            if temporary_parts(asset.name) and asset not in used:
                yield Step(action="remove", name=asset.name, reason="left by a run that died")
        wanted = self._wanted(release, body(self._repository, options, self._finished, release, releases))
        if release and "body" in wanted:
            yield Step(action="edit", name=options.tag, reason="notes")
        if (release is None or release.draft) and not options.draft:
            yield Step(action="publish", name=options.tag)

    def _published(self, progress: Progress) -> Published:
        releases, release = self._settled()
        filling = Filling(self._repository, self._comparison, self._finished, progress)
        assets = self._repository.assets(release)
        self._comparison.hold_policy(release, self._comparison.of_all(assets, release))
        if not release.immutable:
            filling.restore(release, assets)
        release = filling.fill(release)
        text = body(self._repository, self._options, self._finished, release, releases)
        release = self._completed(release, text)
        found = self._verified(release)
        if self._is_maker:  # of a run that was killed while it made its draft, that one appears late
            self._clear_away(self._repository.releases(), release)
        return Published(
            target=f"github {self._options.repository} {release.tag}",
            files=tuple(
                PublishedFile(
                    name=found[file.path].name,
                    size_bytes=found[file.path].size_bytes,
                    sha256=self._comparison.sha256(found[file.path]),
                    url=found[file.path].url,
                    action=filling.done.get(file.path, "skipped"),
                )
                for file in self._finished.files
            ),
            outputs={
                "release_id": str(release.id),
                "release_url": release.url,
                "release_tag": release.tag,
                "release_draft": str(release.draft).lower(),
            },
        )

    def _settled(self) -> tuple[list[Release], Release]:
        """All releases and the one to fill, made if there is none; two runs at once settle on the same one."""
        for attempt in range(self._pace.attempts):
            releases = self._repository.releases()
            release = self._chosen(releases)
            if release is not None:
                self._clear_away(releases, release)
                return releases, release
            self._is_maker = True
            try:
                self._create(releases)
            except UnclearError:
                if attempt + 1 == self._pace.attempts:
                    raise
                self._repository.client.back_off(attempt)  # and look whether it was made
        raise PublishError(
            "the release that was made does not appear in the list", where=self._where, fix="run it again"
        )

    def _chosen(self, releases: Sequence[Release]) -> Release | None:
        """The published release of the tag, else its oldest draft."""
        ours = (release for release in releases if release.tag == self._options.tag)
        return min(ours, key=lambda release: (release.draft, release.id), default=None)

    def _clear_away(self, releases: Sequence[Release], release: Release) -> None:
        """Remove further drafts that two runs at once may have made: only those marked as ours, and empty."""
        for other in releases:
            is_spare = other.draft and other.tag == release.tag and other.id > release.id
            with suppress(GoneError):
                if is_spare and other.body.startswith(DRAFT) and not self._repository.assets(other):
                    self._repository.remove(other)

    def _create(self, releases: Sequence[Release]) -> None:
        options = self._options
        text = body(self._repository, options, self._finished, None, releases)
        fields = {
            "tag_name": options.tag,
            "name": options.name or options.tag,
            "body": f"{DRAFT}\n{text}" if len(text) + len(DRAFT) < LONGEST_BODY else DRAFT,
            "draft": True,
            "prerelease": options.prerelease,
        }
        # where the tag exists GitHub would look at the commit for changed workflows, and refuse
        if options.commit and not self._repository.has_tag(options.tag):
            fields["target_commitish"] = options.commit
        self._repository.create(**fields)

    def _wanted(self, release: Release | None, text: str) -> dict[str, str | bool]:
        """What differs from what the release should be."""
        options, fields = self._options, dict[str, str | bool]()
        if release is None:
            return fields
        if text.strip() != release.body.replace("\r\n", "\n").strip():
            fields["body"] = text
        if options.name is not None and options.name != release.name:
            fields["name"] = options.name
        if options.prerelease and not release.prerelease:
            fields["prerelease"] = True
        if release.draft and not options.draft:
            fields |= {"draft": False, "make_latest": options.make_latest}
        return fields

    def _completed(self, release: Release, text: str) -> Release:
        """Publish, with notes and title; then read again, because the addresses change with that."""
        if fields := self._wanted(release, text):
            try:
                self._repository.edit(release, **fields)
            except RefusedError as error:
                hold_present(self._repository, release, error)
                # another run may have published it a moment ago
                if not release.draft or self._repository.release(release.id).draft:
                    raise
        return self._repository.release(release.id)

    def _verified(self, release: Release) -> dict[str, Asset]:
        """The asset of each file, by its path in dist, from a last listing."""
        found = {}
        for item in self._comparison.of_all(self._repository.assets(release), release):
            if item.asset is None or item.is_open:
                raise PublishError(
                    f"{flat_name(item.file)} is not on the release as it was uploaded",
                    where=self._where,
                    fix="another run may be changing it; run it again",
                )
            found[item.file.path] = item.asset
        return found
