"""What each worker does, told to all the others through a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from bicameral.errors import DataError
from bicameral.files import write_text_atomic
from server.processes.run_folder import RunFolder


class WorkerStatus(BaseModel):
    """A worker that can be asked, and how far it got.

    Attributes:
        slot: Its place among the workers, 0..N-1; a replacement takes the place over.
        pid: Its process.
        revision: The revision of the desired state that it has applied.
        failures: Models that it could not load, each with the reason.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    slot: int
    pid: int
    revision: int
    failures: Mapping[str, str] = {}


def write_status(folder: RunFolder, status: WorkerStatus) -> None:
    """Tell all the others.

    Raises:
        OSError: If the folder cannot be written.
    """
    write_text_atomic(folder.status(status.slot), status.model_dump_json())


def remove_status(folder: RunFolder, slot: int) -> None:
    """Note that a slot has no worker."""
    folder.status(slot).unlink(missing_ok=True)


def read_statuses(folder: RunFolder, workers: int) -> dict[int, WorkerStatus]:
    """Return the status of every slot that has a worker.

    Raises:
        DataError: If one of the files is damaged.
    """
    found = ((slot, _read(folder.status(slot))) for slot in range(workers))
    return {slot: status for slot, status in found if status is not None}


def _read(path: Path) -> WorkerStatus | None:
    try:
        return WorkerStatus.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise DataError(f"{path} is not a worker's status: {error}") from error
