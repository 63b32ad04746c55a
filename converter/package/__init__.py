"""A model's folder, as people get it: deterministic archives, labels and checksums under names unique across dist."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from converter.errors import OutputError
from converter.model import Artifact, Conversion, Route, Source
from converter.package.archive import zip_package
from converter.package.checksums import artifact
from converter.package.dist import writing
from converter.package.labels import write_labels

__all__ = ["file_stem", "package"]


def file_stem(name: str, route: Route, routes: Sequence[Route]) -> str:
    """`NAME`, or `NAME-ROUTE` where several routes are asked for."""
    return f"{name}-{route}" if len(routes) > 1 else name


def package(source: Source, conversions: Sequence[Conversion], extra: Sequence[Path], folder: Path) -> list[Artifact]:
    """Turn a folder of converted models into what is published; artifacts are named relative to the folder's parent.

    Packages become deterministic zips, a classifier gets its label files, `extra` files travel along under
    `NAME.FILE`. Raises OutputError.
    """
    with writing(folder):
        files = []
        for conversion in conversions:
            path = conversion.path
            if path.is_dir():
                archive = path.with_name(f"{path.name}.zip")
                zip_package(path, archive)
                shutil.rmtree(path)
                path = archive
            files.append(path)
        if source.interface.classifier:
            text, as_json = folder / f"{source.name}.labels.txt", folder / f"{source.name}.labels.json"
            write_labels(source.interface.classifier.labels, text, as_json)
            files += [text, as_json]
        for path in extra:
            target = folder / f"{source.name}.{path.name}"
            if target.exists():
                raise OutputError(f"extra file {path.name} collides with a file of the model", fix="rename it")
            shutil.copyfile(path, target)
            files.append(target)
        return [artifact(path, folder.parent) for path in files]
