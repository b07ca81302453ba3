"""Runs a plan: examines the models, then measures session by session, and keeps every round."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import asdict, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bicameral.errors import BicameralError, ConfigError, MachineError
from bicameral.files import write_json_atomic
from models.data.dataset import ImageDataset
from models.data.sources import load_dataset
from models.data.task import dataset_options, require_same_task
from models.host import host_name, inference_versions
from models.measurement.record import (
    MEASUREMENT_NAME,
    Measurement,
    MeasurePlan,
    ModelRecord,
    Part,
    read_measurement,
)
from models.measurement.session import SessionTask, measure_session
from models.measurement.streams import Stream, appended_stream, sample_images
from models.measurement.systems import examine_model, load_system, require_comparable
from models.measurement.workload import Progress

_SPAWN = multiprocessing.get_context("spawn")


def run_plan(
    plan: MeasurePlan, folder: Path, command: str, *, resume: bool, progress: Progress
) -> Measurement:
    """Measure what is missing in a folder, and write it there round by round.

    Args:
        plan: The plan.
        folder: Gets the file `MEASUREMENT_NAME`.
        command: The command that was given, for the record.
        resume: Go on with what the folder holds; otherwise it must hold nothing.
        progress: Is told how far it is.

    Raises:
        ConfigError: If the folder holds something and is not to be resumed, or another plan's.
        DataError: If models or data do not fit each other.
        MachineError: If a measuring process ends early.
    """
    path = folder / MEASUREMENT_NAME
    if path.exists() and not resume:
        raise ConfigError(
            f"{path} exists; give --resume to go on with it, or another folder with --output"
        )
    dataset, fingerprints = _load(plan)
    streams = build_plan_streams(plan, dataset)
    if path.exists():
        measurement = read_measurement(path)
        if measurement.plan != plan or measurement.dataset_sha256 != dataset.fingerprint:
            raise ConfigError(
                f"{path} was made by another plan or from other data: {measurement.plan}, expected "
                f"{plan}; give the same flags as then, or another folder with --output"
            )
        for record in measurement.models:
            if record.fingerprint != fingerprints[record.model]:
                raise ConfigError(
                    f"{record.model!r} is not the model any more that {path} was begun with; "
                    "measure into another folder with --output"
                )
    else:
        measurement = Measurement(
            plan=plan,
            command=command,
            host=host_name(),
            versions=inference_versions(),
            dataset=dataset.name,
            dataset_sha256=dataset.fingerprint,
            models=_examine(plan, streams, progress),
            parts=(),
        )
        write_json_atomic(path, asdict(measurement))
    for session in range(plan.sessions):
        first = measurement.rounds_of(session)
        if first == plan.rounds:
            continue
        task = SessionTask(plan=plan, session=session, first_round=first, streams=streams)
        earlier = measurement.parts
        aftermath = f"{path} keeps what session {session + 1} had measured, --resume goes on"
        with closing(_messages(measure_session, (task,), aftermath)) as messages:
            for message in messages:
                if isinstance(message, Part):
                    measurement = replace(measurement, parts=(*earlier, message))
                    write_json_atomic(path, asdict(measurement))
                else:
                    progress(*message)
    return measurement


def build_plan_streams(plan: MeasurePlan, dataset: ImageDataset) -> tuple[Stream, ...]:
    """Make the streams of a plan, all of the same images."""
    images = sample_images(dataset.test, plan.images, plan.seed)
    return tuple(appended_stream(images, share, plan.seed) for share in plan.streams)


def _load(plan: MeasurePlan) -> tuple[ImageDataset, dict[str, str]]:
    """Load the data set, check that all models answer it, and return their fingerprints."""
    systems = [load_system(model) for model in plan.models]
    require_comparable(systems)
    first = systems[0].classifier
    dataset = load_dataset(plan.data, dataset_options(first))
    require_same_task(first, dataset)
    fingerprints = {system.name: system.classifier.info.fingerprint for system in systems}
    for system in systems:
        system.classifier.close()
    return dataset, fingerprints


def _examine(
    plan: MeasurePlan, streams: tuple[Stream, ...], progress: Progress
) -> tuple[ModelRecord, ...]:
    """Let every model answer the streams in a process of its own."""
    records: list[ModelRecord] = []
    for index, model in enumerate(plan.models):
        progress(index, len(plan.models), f"answers of {model}")
        aftermath = f"perhaps {model!r} took too much memory; use fewer images with --images"
        records += _messages(examine_model, (model, streams), aftermath)
    return tuple(records)


def _messages(
    work: Callable[..., None], arguments: tuple[Any, ...], aftermath: str
) -> Generator[Any, None, None]:
    """Do something in a process of its own, and yield what it sends.

    Args:
        work: Is given the arguments, and a function that sends.
        arguments: What it works on.
        aftermath: What an early end of the process means for the user.

    Raises:
        MachineError: If the work cannot go on, or the process ends early.
    """
    receiver, sender = _SPAWN.Pipe(duplex=False)
    process = _SPAWN.Process(target=_work, args=(work, arguments, sender), daemon=True)
    process.start()
    sender.close()
    try:
        while True:
            message = receiver.recv()
            if isinstance(message, str):
                raise MachineError(message)
            yield message
    except EOFError:
        process.join()
        if process.exitcode != 0:
            raise MachineError(
                f"a measuring process ended with code {process.exitcode}; {aftermath}"
            ) from None
    finally:
        process.kill()
        receiver.close()


def _work(work: Callable[..., None], arguments: tuple[Any, ...], connection: Connection) -> None:
    """Work and send; the main function of a process."""
    # An interruption goes to the whole group; whoever started this process ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        work(*arguments, connection.send)
    except BicameralError as error:
        connection.send(str(error))
