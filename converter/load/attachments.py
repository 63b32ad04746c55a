"""The files beside a model: samples, a labelled set, what travels along, what was converted elsewhere."""

from pathlib import Path

from converter.errors import ConverterError
from converter.load.files import locate
from converter.manifest.schema import File, Model
from converter.model import Attachments


def attachments(model: Model, *, cache: Path) -> Attachments:
    """Where the model's samples, labelled set, extra and given files lie on this machine, fetched if need be.

    Raises SourceError and DownloadError as `locate` does.
    """
    root, options = model.folder, model.validation

    def local(file: File) -> Path:
        return locate(file, root=root, cache=cache)[0]

    def file_or_folder(file: File) -> Path:
        folder = root / file.path if file.path else None
        return folder if folder and folder.is_dir() else local(file)

    try:
        return Attachments(
            samples=tuple(local(file) for file in options.samples),
            labelled=file_or_folder(options.labelled) if options.labelled else None,
            extra=tuple(local(file) for file in model.extra),
            given={format: file_or_folder(file) for format, file in model.given.items()},
        )
    except ConverterError as error:
        raise error.within(model.place, "load") from error.__cause__
