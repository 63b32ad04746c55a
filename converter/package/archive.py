"""Zip a .mlpackage so that the same package gives the same bytes on every machine, and unzip it."""

import contextlib
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from converter.errors import EvaluationError

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that zip can say


def zip_package(package: Path, archive: Path) -> None:
    """Write a package folder as a zip that unpacks to a folder of the package's name.

    Sorted entries, fixed times and modes, and stored, not deflated: weights hardly shrink, and zlib's output differs
    between its versions.
    """
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target:
        for path in sorted(package.rglob("*")):
            folder = path.is_dir()
            name = f"{package.name}/{path.relative_to(package).as_posix()}{'/' if folder else ''}"
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3  # unix, wherever this runs, so that the modes count
            entry.external_attr = (0o40755 << 16 | 0x10) if folder else 0o100644 << 16
            if folder:
                target.writestr(entry, b"")
                continue
            entry.file_size = path.stat().st_size  # decides between zip and zip64 before the bytes are seen
            with path.open("rb") as source, target.open(entry, "w") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)


@contextlib.contextmanager
def unzipped(path: Path) -> Iterator[Path]:
    """A .mlpackage.zip as the package in it, for as long as the context lasts; any other path as it is.

    Raises EvaluationError where the zip is broken or holds no package.
    """
    if path.suffix != ".zip" or not path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder)
        except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:  # RuntimeError: encrypted, say
            raise EvaluationError(
                f"cannot be unzipped: {error}", where=(str(path),), fix="fetch or build the file again"
            ) from error
        packages = sorted(Path(folder).glob("*.mlpackage"))
        if len(packages) != 1:
            raise EvaluationError(
                f"holds {len(packages)} packages, not one", where=(str(path),), fix="zip one .mlpackage"
            )
        yield packages[0]
