"""Zip a .mlpackage so that the same package gives the same bytes on every machine."""

import shutil
import zipfile
from pathlib import Path

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
