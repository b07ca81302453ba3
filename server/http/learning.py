"""Classes that models learn at run time, from a handful of pictures."""

from __future__ import annotations

from typing import Any, Protocol

from pydantic import BaseModel
from starlette.responses import Response

from bicameral.errors import DataError
from server.errors import RequestError, shown
from server.http.classify import PICTURE_REFUSALS
from server.http.endpoint import Described, Endpoint, Handler
from server.http.exchange import Request, json_answer
from server.http.picture_body import picture_body_document, read_pictures
from server.limits import LearningLimits
from server.serving.lessons import Lesson, cannot_learn
from server.serving.repository import ModelRepository
from server.serving.served_model import ModelVersion, ServedModel
from server.serving.session_model import SessionModel

_LONGEST_LABEL = 64

_CLASSES = "/v1/models/{model}/classes"
#: A class's name may have a slash in it.
_CLASS = f"{_CLASSES}/{{label:path}}"
_LABEL = {"minLength": 1, "maxLength": _LONGEST_LABEL, "description": "Name of the class"}


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


def learning_endpoints(
    repository: ModelRepository, control: TeachingControl, limits: LearningLimits
) -> list[Endpoint]:
    """Return the endpoints.

    Args:
        repository: This worker's models.
        control: Teaches models everywhere.
        limits: Of what is taught.
    """

    async def read_classes(request: Request) -> Response:
        """Return the classes of a model that can learn, and how many examples it has of each."""
        return _classes(_learner(repository.get(request.path["model"])), control)

    async def teach(request: Request) -> Response:
        """Teach a model a class, or more of one, with one picture or several.

        It is answered when all workers know it. What was learned ends with the server.
        """
        model, label = request.path["model"], _label(request)
        _learner(repository.get(model))  # refused before its body is read
        pictures = await read_pictures(request, limits.max_pictures)
        with repository.lease(model) as leased:
            try:
                images = await _learner(leased).prepare(pictures)
            except DataError as error:
                raise RequestError(415, str(error)) from error
        await control.teach(model, label, images)
        return _classes(_learner(repository.get(model)), control)

    async def forget_all(request: Request) -> Response:
        """Let all versions of a model forget everything that they were taught."""
        model = request.path["model"]
        _learner(repository.get(model))
        await control.forget(model)
        return Response(status_code=204)

    async def forget(request: Request) -> Response:
        """Let all versions of a model forget what they were taught of one class."""
        model, label = request.path["model"], _label(request)
        known = _learner(repository.get(model)).labels
        if label not in known:
            raise RequestError(
                404, f"model {model!r} has no class {label!r}; it has: {', '.join(known)}"
            )
        await control.forget(model, label)
        return Response(status_code=204)

    return [
        _endpoint("GET", _CLASSES, read_classes),
        _endpoint("POST", f"{_CLASS}/examples", teach),
        _endpoint("DELETE", _CLASSES, forget_all),
        _endpoint("DELETE", _CLASS, forget),
    ]


def _endpoint(method: str, path: str, handler: Handler) -> Endpoint:
    return Endpoint(
        method=method,
        path=path,
        handler=handler,
        right="infer" if method == "GET" else "manage",
        described=Described(
            tag="learning",
            answer=None if method == "DELETE" else ClassesAnswer,
            refusals=PICTURE_REFUSALS if method == "POST" else (400, 404, 503),
            body=picture_body_document(several=True) if method == "POST" else {},
            path={"label": _LABEL},
        ),
    )


def _label(request: Request) -> str:
    """Return the name of the class in the path.

    Raises:
        RequestError: 400 if it is empty or too long.
    """
    label = request.path["label"]
    if not 0 < len(label) <= _LONGEST_LABEL:
        raise RequestError(
            400,
            f"the label {shown(label)} has {len(label)} characters, expected at least one and at "
            f"most {_LONGEST_LABEL} characters",
        )
    return label


def _learner(model: ServedModel) -> SessionModel:
    """Return the model, if it can learn.

    Raises:
        RequestError: 400 if it cannot.
    """
    if not isinstance(model, SessionModel) or model.example_counts is None:
        raise RequestError(400, cannot_learn(model.name))
    return model


def _classes(model: SessionModel, control: TeachingControl) -> Response:
    taught: dict[str, int] = {}
    for lesson in control.lessons(ModelVersion(name=model.name, version=model.version)):
        taught[lesson.label] = taught.get(lesson.label, 0) + lesson.count
    answer = ClassesAnswer(
        model=model.name,
        version=model.version,
        classes=[
            ClassAnswer(label=label, examples=count, taught=taught.get(label, 0))
            for label, count in (model.example_counts or {}).items()
        ],
    )
    return json_answer(answer.model_dump())
