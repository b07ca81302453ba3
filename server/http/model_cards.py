"""What a person wants to know of a model before using it: its tensors and its sidecar, in short."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from edge.cascade_sidecar import CascadeSpec
from server.http.endpoint import Endpoint
from server.http.exchange import Request, json_answer
from server.open_inference.datatypes import V2Spec
from server.serving.masked_model import MaskedModel
from server.serving.repository import ModelRepository
from server.serving.served_model import ModelKind, PictureModel, ServedClassifier, ServedModel
from server.serving.session_model import SessionModel
from server.serving.tensor_model import TensorModel


class _Card(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class ImageCard(_Card):
    """The canonical image: what a network sees of a picture.

    Attributes:
        height: Its rows.
        width: Its columns.
        color: ``GRAY``, ``RGB`` or ``BGR``.
        invert: Whether it is the negative of the picture.
    """

    height: int
    width: int
    color: str
    invert: bool


class StageCard(_Card):
    """A network of a cascade; ``threshold`` is the score, 0..1, below which the next is asked."""

    name: str
    threshold: float | None


class CascadeCard(BaseModel):
    """The networks of a cascade.

    Attributes:
        stages: The networks, in the order in which they are asked. A single one with a threshold
            stops between stages of its own.
        a: Name of the first.
        b: Name of the second; null if there is none.
        threshold: That of the first; null if it answers alone.
        memory: Whether results are remembered.
    """

    stages: list[StageCard]
    a: str
    b: str | None
    threshold: float | None
    memory: bool

    @classmethod
    def of(cls, cascade: CascadeSpec) -> CascadeCard:
        """Describe a cascade."""
        stages = [StageCard.model_validate(one) for one in cascade.stages]
        return cls(
            stages=stages,
            a=stages[0].name,
            b=stages[1].name if len(stages) > 1 else None,
            threshold=stages[0].threshold,
            memory=cascade.memory is not None,
        )


class ClaimCard(_Card):
    """A measured figure; ``ci95`` is its 95 % interval."""

    metric: str
    value: float
    ci95: tuple[float, float] | None
    n: int
    split: str


class ModelCard(BaseModel):
    """A model that answers.

    Attributes:
        name: Its name.
        version: The version that is served unless a request names another.
        kind: What it is; ``tensors`` is a graph without a sidecar, of which nothing else is known.
        description: Of a graph without a sidecar: what its maker says about it.
        inputs: The tensors that it takes; -1 in a shape stands for any size, and an empty shape
            for a scalar or any.
        outputs: The tensors that it gives.
        labels: Its classes.
        image: For models that classify pictures.
        cascade: For cascades.
        claims: What was measured of it.
        limits: What it cannot do.
        license: Its licence.
        learns: Whether it can be taught classes.
        completes: Whether it fills in what is transparent of a picture.
    """

    name: str
    version: str
    kind: ModelKind
    description: str
    inputs: tuple[V2Spec, ...]
    outputs: tuple[V2Spec, ...]
    labels: tuple[str, ...]
    image: ImageCard | None
    cascade: CascadeCard | None
    claims: list[ClaimCard]
    limits: str
    license: str
    learns: bool
    completes: bool


def model_cards_endpoint(repository: ModelRepository) -> Endpoint:
    """Return the endpoint."""

    async def read_cards(_: Request) -> Response:
        """Describe the models that answer, each in the version that is served."""
        names = sorted({model.name for model in repository.models()})
        return json_answer([_card(repository.get(name)).model_dump() for name in names])

    return Endpoint(
        method="GET",
        path="/v1/models",
        handler=read_cards,
        tag="classify",
        answer=list[ModelCard],
    )


def _card(model: ServedModel) -> ModelCard:
    sidecar = model.sidecar if isinstance(model, PictureModel) else None
    cascade = None if sidecar is None else sidecar.cascade
    # The name of the fields' source, except where a model is no classifier of pictures.
    image = model.image if isinstance(model, ServedClassifier) else None
    return ModelCard(
        name=model.name,
        version=model.version,
        kind=model.kind,
        description=model.description if isinstance(model, TensorModel) else "",
        inputs=model.inputs,
        outputs=model.outputs,
        labels=model.labels,
        image=None if image is None else ImageCard.model_validate(image),
        cascade=None if cascade is None else CascadeCard.of(cascade),
        claims=[]
        if sidecar is None
        else [ClaimCard.model_validate(claim) for claim in sidecar.claims],
        limits="" if sidecar is None else sidecar.limits,
        license="" if sidecar is None else sidecar.license,
        learns=isinstance(model, SessionModel) and model.example_counts is not None,
        completes=isinstance(model, MaskedModel),
    )
