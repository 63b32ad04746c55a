"""What a release holds already, file by file: by digest, never by name alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from converter.errors import PublishError
from converter.model import Artifact
from converter.package.dist import PAGE, RECORD, REPORT
from converter.publish import Finished
from converter.publish.github.names import asset_name, flat_name, temporary_name, temporary_parts
from converter.publish.github.options import Options
from converter.publish.github.repository import Asset, Release, Repository

Action = Literal["upload", "replace", "skip", "keep", "finish"]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What a file needs: `keep` leaves other content under its name, `finish` renames what a killed run uploaded."""

    file: Artifact
    action: Action
    reason: str
    asset: Asset | None

    @property
    def is_open(self) -> bool:
        return self.action not in ("skip", "keep")


class Comparison:
    """The files of a dist against the assets of a release, as often as is asked."""

    def __init__(self, repository: Repository, options: Options, finished: Finished) -> None:
        self._repository = repository
        self._options = options
        self._finished = finished
        self._hashes: dict[int, str] = {}
        self._given: dict[str, int] = {}

    def of_all(self, assets: Sequence[Asset], release: Release | None) -> list[Difference]:
        """A published release whose other files are all the same keeps its build.json and its reports.

        They tell the times of a run, so a second run of a tag would exchange them, and fail on an immutable release.
        """
        found = [self.of(file, assets, release) for file in self._finished.files]
        told = [d for d in found if d.action == "replace" and d.file.path in (RECORD, REPORT, PAGE)]
        if release is None or release.draft or any(d.is_open for d in found if d not in told):
            return found
        words = "tells of an earlier run with the same files"
        return [replace(d, action="keep", reason=words) if d in told else d for d in found]

    def of(self, file: Artifact, assets: Sequence[Asset], release: Release | None) -> Difference:
        asset = self._find(file, assets)
        if asset is None:
            name = temporary_name(asset_name(flat_name(file)), file.sha256)
            waiting = next((a for a in assets if a.name == name), None)
            if waiting and self.holds(waiting, file):
                return Difference(file=file, action="finish", reason="uploaded by a run that died", asset=waiting)
            return Difference(file=file, action="upload", reason="", asset=None)
        if not asset.complete:
            return Difference(file=file, action="upload", reason="an upload broke off", asset=asset)
        if self.holds(asset, file):
            return Difference(file=file, action="skip", reason="same content", asset=asset)
        if release and not release.draft and self._options.existing == "skip":
            return Difference(file=file, action="keep", reason="other content is kept", asset=asset)
        return Difference(file=file, action="replace", reason="other content", asset=asset)

    def remember(self, file: Artifact, asset: Asset) -> None:
        """What GitHub made of a file, whatever name it gave it."""
        self._given[file.path] = asset.id

    def holds(self, asset: Asset, file: Artifact) -> bool:
        return asset.complete and asset.size_bytes == file.size_bytes and self.sha256(asset) == file.sha256

    def sha256(self, asset: Asset) -> str:
        """GitHub's digest, or, where it knows none, that of the download."""
        if asset.sha256 is not None:
            return asset.sha256
        if asset.id not in self._hashes:
            self._hashes[asset.id] = self._repository.hash(asset)
        return self._hashes[asset.id]

    def hold_policy(self, release: Release, differences: Sequence[Difference]) -> None:
        """Raise PublishError where the release may not be changed as it would have to be."""
        where = ("publish to github", f"{self._options.repository} {self._options.tag}")
        wanting = [flat_name(d.file) for d in differences if d.is_open]
        if release.immutable and wanting:
            raise PublishError(
                f"the release is immutable, and differs in {', '.join(wanting)}",
                where=where,
                fix="publish under a new tag; the files of an immutable release cannot be changed",
            )
        other = [flat_name(d.file) for d in differences if d.action == "replace"]
        if not release.draft and other and self._options.existing == "fail":
            raise PublishError(
                f"the release is published, and has other content in {', '.join(other)}",
                where=where,
                fix="publish under a new tag, or say `existing: replace` or `skip`",
            )

    def _find(self, file: Artifact, assets: Sequence[Asset]) -> Asset | None:
        """By what GitHub answered, by name, else by label: GitHub may have changed the name."""
        flat = flat_name(file)
        lasting = [asset for asset in assets if not temporary_parts(asset.name)]
        known = [a for a in lasting if a.id == self._given.get(file.path)]
        named = [a for a in lasting if a.name == asset_name(flat)]
        labelled = [a for a in lasting if a.label == flat]
        return next(iter((*known, *named, *labelled)), None)
