"""Classes that models learn at run time, from a handful of pictures."""

from __future__ import annotations

from pydantic import BaseModel
from starlette.responses import Response

from server.errors import RequestError, shown
from server.http.classify import PICTURE_REFUSALS
from server.http.endpoint import Endpoint, Handler
from server.http.exchange import Request, json_answer
from server.http.picture_body import picture_body_document, read_pictures
from server.limits import ServerSettings
from server.serving.lessons import cannot_learn
from server.serving.repository import ModelRepository
from server.serving.served_model import ServedModel
from server.serving.session_model import SessionModel

_LONGEST_LABEL = 64

_CLASSES = "/v1/models/{model}/classes"
#: A class's name may have a slash in it.
_CLASS = f"{_CLASSES}/{{label:path}}"
_LABEL = {"minLength": 1, "maxLength": _LONGEST_LABEL, "description": "Name of the class"}


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


class TaughtAnswer(ClassesAnswer):
    """What a model knows now, in the worker that answers.

    Attributes:
        others_follow_s: The other workers, and replicas that share the folder, begin to learn it
            within this time.
    """

    others_follow_s: float


def learning_endpoints(repository: ModelRepository, settings: ServerSettings) -> list[Endpoint]:
    """Return the endpoints.

    Args:
        repository: This worker's models.
        settings: Limits of what is taught, and when the other workers follow.
    """

    async def read_classes(request: Request) -> Response:
        """Return the classes of a model that can learn, and how many examples it has of each."""
        answer = _classes(_learner(repository.get(request.path["model"])), repository)
        return json_answer(answer)

    async def teach(request: Request) -> Response:
        """Teach a model a class, or more of one, with one picture or several.

        It is answered when this worker knows it; the others follow. What was learned is kept beside
        the model.
        """
        model, label = request.path["model"], _label(request)
        _learner(repository.get(model))  # refused before its body is read
        pictures = await read_pictures(request, settings.learning.max_pictures)
        with repository.lease(model) as leased:
            images = await _learner(leased).prepare(pictures)
        await repository.teach(model, label, images)
        answer = TaughtAnswer(
            **_classes(_learner(repository.get(model)), repository).model_dump(),
            others_follow_s=settings.follow_s,
        )
        return json_answer(answer)

    async def forget_all(request: Request) -> Response:
        """Let all versions of a model forget everything that they were taught."""
        model = request.path["model"]
        _learner(repository.get(model))
        await repository.forget(model)
        return Response(status_code=204)

    async def forget(request: Request) -> Response:
        """Let all versions of a model forget what they were taught of one class."""
        model, label = request.path["model"], _label(request)
        known = _learner(repository.get(model)).labels
        if label not in known:
            raise RequestError(
                404, f"model {model!r} has no class {label!r}; it has: {', '.join(known)}"
            )
        await repository.forget(model, label)
        return Response(status_code=204)

    return [
        _endpoint("GET", _CLASSES, read_classes),
        _endpoint("POST", f"{_CLASS}/examples", teach),
        _endpoint("DELETE", _CLASSES, forget_all),
        _endpoint("DELETE", _CLASS, forget),
    ]


_ANSWERS = {"GET": ClassesAnswer, "POST": TaughtAnswer, "DELETE": None}
_REFUSALS = {
    "GET": (400, 404, 503),
    "POST": (*PICTURE_REFUSALS, 409),
    "DELETE": (400, 404, 409, 503),
}


def _endpoint(method: str, path: str, handler: Handler) -> Endpoint:
    return Endpoint(
        method=method,
        path=path,
        handler=handler,
        right="infer" if method == "GET" else "manage",
        tag="learning",
        answer=_ANSWERS[method],
        refusals=_REFUSALS[method],
        body=picture_body_document(several=True) if method == "POST" else {},
        placeholders={"label": _LABEL},
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


def _classes(model: SessionModel, repository: ModelRepository) -> ClassesAnswer:
    taught: dict[str, int] = {}
    for lesson in repository.lessons(model.served_as):
        taught[lesson.label] = taught.get(lesson.label, 0) + lesson.count
    return ClassesAnswer(
        model=model.name,
        version=model.version,
        classes=[
            ClassAnswer(label=label, examples=count, taught=taught.get(label, 0))
            for label, count in (model.example_counts or {}).items()
        ],
    )
