"""The folder in which an evaluation ends: the record, and the report beside it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from models.cascade.report.build import ReportContext, write_report
from models.cascade.results import CascadeEvaluation, write_evaluation
from models.cascade.streams_results import STREAMS_NAME, read_measurements
from models.classifiers.dataset import LabelledImages
from models.host import host_name, inference_versions

EVALUATION_NAME = "evaluation.json"
REPORT_NAME = "report.html"


def write_results(
    folder: Path, evaluation: CascadeEvaluation, test: LabelledImages, command: str
) -> Path:
    """Write ``evaluation.json`` and ``report.html``, with the folder's stream measurements if any.

    Args:
        folder: Where to write.
        evaluation: What to write.
        test: The test images of its data set, for pictures.
        command: Command line, for the record.

    Returns:
        The report.

    Raises:
        DataError: If the images or the measurements are of another data set.
    """
    write_evaluation(folder / EVALUATION_NAME, evaluation)
    streams = folder / STREAMS_NAME
    path = folder / REPORT_NAME
    write_report(
        path,
        evaluation,
        test,
        context=ReportContext(
            command=command,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            host=host_name(),
            versions=inference_versions(),
        ),
        measured=read_measurements(streams) if streams.exists() else None,
    )
    return path
