"""Classes that models learn at run time, from a handful of pictures."""

from __future__ import annotations

from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel

from bicameral.errors import DataError
from server.endpoints.classify import ErrorAnswer
from server.endpoints.open_inference import Authorise
from server.endpoints.picture_body import picture_body_document, read_pictures
from server.errors import RequestError
from server.limits import LearningLimits, RequestLimits
from server.serving.lessons import Lesson, cannot_learn
from server.serving.repository import ModelRepository
from server.serving.served_model import ModelVersion, ServedModel
from server.serving.session_model import SessionModel

_LONGEST_LABEL = 64

#: A class's name may have a slash in it.
_Label = Annotated[
    str, Path(min_length=1, max_length=_LONGEST_LABEL, description="Name of the class")
]


class TeachingControl(Protocol):
    """Teaches models, in all processes."""

    def lessons(self, model: ModelVersion) -> tuple[Lesson, ...]:
        """Return what a version was taught, as `ReplicatedRepository.lessons`."""

    async def teach(self, name: str, label: str, images: Any) -> None:
        """Teach, as `ReplicatedRepository.teach`."""

    async def forget(self, name: str, label: str | None = None) -> None:
        """Forget, as `ReplicatedRepository.forget`."""


class ClassAnswer(BaseModel):
    """One class of a model.

    Attributes:
        label: Its name.
        examples: How many examples the model has of it.
        taught: How many of them it was given at run time.
    """

    label: str
    examples: int
    taught: int


class ClassesAnswer(BaseModel):
    """What a model knows, in the order of its probabilities."""

    model: str
    version: str
    classes: list[ClassAnswer]


def learning_router(
    repository: ModelRepository,
    control: TeachingControl,
    limits: tuple[RequestLimits, LearningLimits],
    authorise: Authorise,
) -> APIRouter:
    """Build the routes.

    Args:
        repository: This worker's models.
        control: Teaches models everywhere.
        limits: Of a single request, and of what is taught.
        authorise: Who may do what.
    """
    router = APIRouter(tags=["learning"])
    requests, learning = limits

    @router.get("/v1/models/{model}/classes", responses=_refusals(400, 404, 503))
    async def read_classes(request: Request, model: str) -> ClassesAnswer:
        """Return the classes of a model that can learn, and how many examples it has of each."""
        authorise(request.scope, "infer")
        return _classes(_learner(repository.get(model)), control)

    @router.post(
        "/v1/models/{model}/classes/{label:path}/examples",
        responses=_refusals(400, 404, 408, 413, 415, 429, 503),
        openapi_extra=picture_body_document(several=True),
    )
    async def teach(request: Request, model: str, label: _Label) -> ClassesAnswer:
        """Teach a model a class, or more of one, with one picture or several.

        It is answered when all workers know it. What was learned ends with the server.
        """
        authorise(request.scope, "manage")
        _learner(repository.get(model))  # refused before its body is read
        headers = dict(request.scope["headers"])
        pictures = await read_pictures(headers, request.receive, requests, learning.max_pictures)
        with repository.lease(model) as leased:
            try:
                images = await _learner(leased).prepare(pictures)
            except DataError as error:
                raise RequestError(415, str(error)) from error
        await control.teach(model, label, images)
        return _classes(_learner(repository.get(model)), control)

    @router.delete(
        "/v1/models/{model}/classes", status_code=204, responses=_refusals(400, 404, 503)
    )
    async def forget_all(request: Request, model: str) -> None:
        """Let all versions of a model forget everything that they were taught."""
        authorise(request.scope, "manage")
        _learner(repository.get(model))
        await control.forget(model)

    @router.delete(
        "/v1/models/{model}/classes/{label:path}",
        status_code=204,
        responses=_refusals(400, 404, 503),
    )
    async def forget(request: Request, model: str, label: _Label) -> None:
        """Let all versions of a model forget what they were taught of one class."""
        authorise(request.scope, "manage")
        known = _learner(repository.get(model)).labels
        if label not in known:
            raise RequestError(
                404, f"model {model!r} has no class {label!r}; it has: {', '.join(known)}"
            )
        await control.forget(model, label)

    return router


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorAnswer} for status in statuses}


def _learner(model: ServedModel) -> SessionModel:
    """Return the model, if it can learn.

    Raises:
        RequestError: 400 if it cannot.
    """
    if not isinstance(model, SessionModel) or model.example_counts is None:
        raise RequestError(400, cannot_learn(model.name))
    return model


def _classes(model: SessionModel, control: TeachingControl) -> ClassesAnswer:
    taught: dict[str, int] = {}
    for lesson in control.lessons(ModelVersion(name=model.name, version=model.version)):
        taught[lesson.label] = taught.get(lesson.label, 0) + lesson.count
    return ClassesAnswer(
        model=model.name,
        version=model.version,
        classes=[
            ClassAnswer(label=label, examples=count, taught=taught.get(label, 0))
            for label, count in (model.example_counts or {}).items()
        ],
    )
