"""The files beside a model: samples, a labelled set, what travels along."""

from pathlib import Path

from converter.errors import ConverterError
from converter.load.files import locate
from converter.manifest.schema import File, Model
from converter.model import Attachments


def attachments(model: Model, *, cache: Path) -> Attachments:
    """Where the model's samples, labelled set and extra files lie on this machine, fetched if need be.

    Raises SourceError and DownloadError as `locate` does.
    """
    root, options = model.folder, model.validation

    def local(file: File) -> Path:
        return locate(file, root=root, cache=cache)[0]

    def labelled() -> Path | None:
        if options.labelled is None:
            return None
        folder = root / options.labelled.path if options.labelled.path else None
        return folder if folder and folder.is_dir() else local(options.labelled)

    try:
        return Attachments(
            samples=tuple(local(file) for file in options.samples),
            labelled=labelled(),
            extra=tuple(local(file) for file in model.extra),
        )
    except ConverterError as error:
        raise error.within(model.place, "load") from error.__cause__
