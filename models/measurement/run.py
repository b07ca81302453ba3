"""Runs a plan: examines the models, then measures session by session, and keeps every round."""

from __future__ import annotations

import multiprocessing
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

from bicameral.errors import ConfigError, MachineError
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
    write_measurement,
)
from models.measurement.session import Message, SessionTask, run_session
from models.measurement.streams import Stream, appended_stream, sample_images
from models.measurement.systems import examine_model, load_system, require_comparable
from models.measurement.workload import Progress

_SPAWN = multiprocessing.get_context("spawn")

#: An interruption goes to the whole group; the process that was started by the user answers it.
_LEAVE_TO_PARENT = (signal.SIGINT, signal.SIG_IGN)


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
    dataset = _load_data(plan)
    streams = build_plan_streams(plan, dataset)
    if path.exists():
        measurement = read_measurement(path)
        if measurement.plan != plan or measurement.dataset_sha256 != dataset.fingerprint:
            raise ConfigError(
                f"{path} was made by another plan or from other data: {measurement.plan}, expected "
                f"{plan}; give the same flags as then, or another folder with --output"
            )
        _require_same_models(measurement, plan, path)
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
        write_measurement(path, measurement)
    for session in range(plan.sessions):
        first = measurement.rounds_of(session)
        if first < plan.rounds:
            task = SessionTask(plan=plan, session=session, first_round=first, streams=streams)
            measurement = _run(task, measurement, path, progress)
    return measurement


def build_plan_streams(plan: MeasurePlan, dataset: ImageDataset) -> tuple[Stream, ...]:
    """Make the streams of a plan, all of the same images."""
    images = sample_images(dataset.test, plan.images, plan.seed)
    return tuple(appended_stream(images, share, plan.seed) for share in plan.streams)


def _load_data(plan: MeasurePlan) -> ImageDataset:
    """Load the data set and check that all models answer it."""
    systems = [load_system(model) for model in plan.models]
    require_comparable(systems)
    first = systems[0].classifier
    dataset = load_dataset(plan.data, dataset_options(first))
    require_same_task(first, dataset)
    for system in systems:
        system.classifier.close()
    return dataset


def _require_same_models(measurement: Measurement, plan: MeasurePlan, path: Path) -> None:
    for record in measurement.models:
        system = load_system(record.model)
        if system.classifier.info.fingerprint != record.fingerprint:
            raise ConfigError(
                f"{record.model!r} is not the model any more that {path} was begun with; measure "
                "into another folder with --output"
            )
        system.classifier.close()


def _examine(
    plan: MeasurePlan, streams: tuple[Stream, ...], progress: Progress
) -> tuple[ModelRecord, ...]:
    """Let every model answer the streams in a process of its own."""
    records = []
    for index, model in enumerate(plan.models):
        progress(index, len(plan.models), f"answers of {model}")
        with ProcessPoolExecutor(
            1, mp_context=_SPAWN, initializer=signal.signal, initargs=_LEAVE_TO_PARENT
        ) as pool:
            try:
                records.append(pool.submit(examine_model, model, streams).result())
            except BrokenProcessPool as error:
                raise MachineError(
                    f"the process that examined {model!r} was ended, perhaps for lack of memory; "
                    "use fewer images with --images"
                ) from error
    return tuple(records)


def _run(
    task: SessionTask, measurement: Measurement, path: Path, progress: Progress
) -> Measurement:
    """Run one session in a process of its own, and write the file after each of its rounds."""
    receiver, sender = _SPAWN.Pipe(duplex=False)
    process = _SPAWN.Process(target=run_session, args=(task, sender), daemon=True)
    process.start()
    sender.close()
    earlier: tuple[Part, ...] = measurement.parts
    try:
        while True:
            message: Message = receiver.recv()
            if isinstance(message, tuple):
                progress(*message)
            elif isinstance(message, str):
                raise MachineError(message)
            else:
                measurement = replace(measurement, parts=(*earlier, message))
                write_measurement(path, measurement)
                if message.device_after is not None:
                    process.join()
                    return measurement
    except EOFError:
        process.join()
        raise MachineError(
            f"the process that measured session {task.session + 1} ended with code "
            f"{process.exitcode}; {path} keeps what it had measured, give --resume to go on"
        ) from None
    finally:
        process.kill()
        receiver.close()
