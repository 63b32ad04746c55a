"""What closes a folder of models, whole or a part: the record, the checksums and the report."""

from collections.abc import Mapping

from converter.model import BuildRecord
from converter.package.checksums import sums
from converter.package.dist import RECORD, REPORT, SUMS
from converter.package.record import to_json


def closing_texts(record: BuildRecord) -> Mapping[str, str]:
    """The texts of build.json, report.md and SHA256SUMS, by name; where the last one is whole, so are the others."""
    from converter.report import render_report

    published = [artifact for model in record.models if model.passed for artifact in model.artifacts]
    return {RECORD: to_json(record), REPORT: render_report(record), SUMS: sums(published)}
