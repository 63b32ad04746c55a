"""A release is filled: every file brought to its place, from whatever state it is found in.

What was left by a run that died, or is done by one that runs at the same time, is never guessed: it is listed, and
what is there already is compared. GitHub cannot exchange an asset in one request. On a draft nobody sees that; on a
published release new content waits under a temporary name until it is whole, and the name is gone from the one request
that removes the old asset to the next one, which renames. A run that died in between is repaired by the next.
"""

from collections.abc import Sequence
from typing import Literal

from converter.errors import PublishError
from converter.model import Artifact
from converter.publish import Finished, Progress
from converter.publish.github.client import RefusedError, UnclearError
from converter.publish.github.comparison import Comparison, Difference
from converter.publish.github.names import asset_name, flat_name, stands_for, temporary_name, temporary_parts
from converter.publish.github.repository import Asset, GoneError, Release, Repository

ROUNDS = 3
_UPLOAD_BYTES_PER_S = 5_000_000  # of a slow line, for how long another run's upload may last


def hold_present(repository: Repository, release: Release, error: RefusedError) -> None:
    """Raise GoneError where a 404 means that the whole release is gone."""
    if error.status != 404:
        return
    try:
        repository.release(release.id)
    except RefusedError as second:
        if second.status == 404:
            raise GoneError from error


class Filling:
    """The files of `finished` on their way to a release; `done` says what became of those that were not there."""

    def __init__(self, repository: Repository, comparison: Comparison, finished: Finished, progress: Progress) -> None:
        self._repository = repository
        self._client = repository.client
        self._comparison = comparison
        self._finished = finished
        self._progress = progress
        self._broken: set[str] = set()  # names under which an upload of our own broke off
        self.done: dict[str, Literal["uploaded", "replaced"]] = {}

    def restore(self, release: Release, assets: Sequence[Asset]) -> None:
        """What a run that died between delete and rename left: the name comes back first, whatever it is to hold."""
        names = {asset.name for asset in assets}
        for asset in assets:
            parts, base = temporary_parts(asset.name), self._base(asset)
            is_lost = parts and base and base not in names and asset.complete
            if is_lost and parts and base and self._comparison.sha256(asset).startswith(parts[1]):
                self._repository.rename(asset, base)
                names.add(base)

    def fill(self, release: Release) -> Release:
        """Bring what is missing, and look again until all of it is there. Returns the release as it is by then."""
        for _ in range(ROUNDS):
            assets = self._repository.assets(release)
            differences = self._comparison.of_all(assets, release)
            if not any(item.is_open for item in differences):
                self._tidy(release, assets)
                self._report(differences)
                return release
            self._comparison.hold_policy(release, differences)
            for item in differences:
                if item.is_open:
                    release = self._bring(release, item)
        raise PublishError(
            "GitHub does not hold what was uploaded; nothing was published",
            where=("publish to github", f"{self._repository.name} {release.tag}"),
            fix="run it again; if it stays, see https://www.githubstatus.com",
        )

    def _report(self, differences: Sequence[Difference]) -> None:
        for item in differences:
            self._progress(flat_name(item.file), item.file.size_bytes, item.file.size_bytes)

    def _bring(self, release: Release, item: Difference) -> Release:
        for attempt in range(self._client.pace.attempts):
            is_last = attempt + 1 == self._client.pace.attempts
            try:
                self._step(release, item)
                return release
            except UnclearError:
                if is_last:
                    raise
            except RefusedError as error:
                hold_present(self._repository, release, error)
                fresh = self._repository.release(release.id)
                # another run has published it, uploaded the file, or cleared something away
                changed = (fresh.draft, fresh.immutable) != (release.draft, release.immutable)
                if is_last or not (changed or error.status == 404 or "already_exists" in error.codes):
                    raise
                release = fresh
            self._client.back_off(attempt)
            item = self._comparison.of(item.file, self._repository.assets(release), release)
            self._comparison.hold_policy(release, [item])
        return release

    def _step(self, release: Release, item: Difference) -> None:
        file, asset = item.file, item.asset
        name = asset_name(flat_name(file))
        match item.action, asset:
            case "finish", Asset():
                self._repository.rename(asset, name)
            case "upload", _:
                if asset is not None:
                    self._clear(release, asset)
                self._upload(release, file, name)
            case "replace", Asset():
                if self._repository.release(release.id).draft:
                    self._repository.remove_asset(asset)
                    self._upload(release, file, name)
                else:
                    self._exchange(release, file, asset)
            case _ if name not in self._broken:
                return  # another run has brought it
        self.done.setdefault(file.path, "replaced" if item.action == "replace" else "uploaded")

    def _upload(self, release: Release, file: Artifact, name: str) -> Asset:
        flat, size = flat_name(file), file.size_bytes
        try:
            asset = self._repository.upload(
                release,
                self._finished.path(file),
                name,
                flat,
                lambda sent: self._progress(flat, min(sent, size), size),
            )
        except UnclearError:
            self._broken.add(name)
            raise
        if not self._comparison.holds(asset, file):
            self._repository.remove_asset(asset)
            raise UnclearError(f"{flat} did not arrive whole", where=("publish to github",), fix="run it again")
        if not temporary_parts(name):
            self._comparison.remember(file, asset)
        return asset

    def _exchange(self, release: Release, file: Artifact, old: Asset) -> None:
        """Both contents are there until the old one is deleted; the very next request gives its name to the new one."""
        name = temporary_name(asset_name(flat_name(file)), file.sha256)
        new = next((a for a in self._repository.assets(release) if a.name == name), None)
        if new is not None and not self._comparison.holds(new, file):
            self._clear(release, new)
            new = None
        if new is None:
            new = self._upload(release, file, name)
        self._repository.remove_asset(old)
        self._repository.rename(new, old.name)

    def _clear(self, release: Release, asset: Asset) -> None:
        """Remove what is not whole, unless another run may be uploading it right now: then wait for that one."""
        attempt = 0
        while not asset.complete and asset.name not in self._broken and not self._is_stale(asset):
            self._client.back_off(attempt)
            attempt += 1
            now = next((a for a in self._repository.assets(release) if a.id == asset.id), None)
            if now is None:
                return
            if now.complete:
                raise UnclearError(f"another run has uploaded {asset.name}", where=("publish to github",))
            asset = now
        self._repository.remove_asset(asset)
        self._broken.discard(asset.name)

    def _is_stale(self, asset: Asset) -> bool:
        """True where no upload that is still alive can be that old."""
        allowed_s = self._client.pace.upload_grace_s + asset.size_bytes / _UPLOAD_BYTES_PER_S
        return self._client.clock.time() - asset.created_at > allowed_s

    def _base(self, temporary: Asset) -> str | None:
        """The name that a temporary asset is to get."""
        known = [asset_name(flat_name(file)) for file in self._finished.files]
        return next((n for n in (*known, asset_name(temporary.label)) if stands_for(temporary.name, n)), None)

    def _tidy(self, release: Release, assets: Sequence[Asset]) -> None:
        """Remove temporary assets that nobody needs any more: their name is there, and holds what it should."""
        if release.immutable:
            return
        wanted = {temporary_name(asset_name(flat_name(file)), file.sha256) for file in self._finished.files}
        names = {asset.name for asset in assets if asset.complete}
        for asset in assets:
            is_spare = temporary_parts(asset.name) and self._base(asset) in names
            # of another dist it may be what another run is about to exchange
            if is_spare and (asset.name in wanted or self._is_stale(asset)):
                self._repository.remove_asset(asset)
