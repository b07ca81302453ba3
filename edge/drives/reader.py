"""A network that describes frames of drives and finds them, as one callable without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from bicameral.errors import DataError
from bicameral.protocols import Session
from bicameral.types import CameraSpec
from edge.driver_model import one_hot_from_commands
from edge.drives.words import BEGIN, END, Vocabulary
from edge.preprocessing import canonical_from_picture, feed_from_canonical
from edge.session import OnnxSession
from edge.shipped import weights_folder
from edge.sidecar import SUFFIX, Claim, InputSpec, ModelFile, TrainingRecord, read_described_bytes
from edge.sidecar_part import Part

#: Where the one that ships lies.
SHIPPED = "drives/drive_reader"

_OFF, _ON = np.array(False), np.array(True)


class DriveReaderSpec(Part):
    """The sidecar of a drive reader.

    Attributes:
        name: Of the model.
        files: The graph.
        input: How a picture becomes the graph's input ``image``.
        camera: Whose pictures it learned from; frames of another camera are not read.
        words: The vocabulary; the number of a word is its place.
        past: Sizes of the tensor ``past`` but the batch; the second is that of one frame.
        longest: Words of the longest sentence.
        towns: That it learned from.
        training: Where the weights come from.
        claims: What was measured.
        license: Of the weights.
        limits: What it cannot do.
    """

    name: str
    files: tuple[ModelFile, ...]
    input: InputSpec
    camera: CameraSpec
    words: tuple[str, ...]
    past: tuple[int, int, int]
    longest: int
    towns: tuple[str, ...]
    training: TrainingRecord
    claims: tuple[Claim, ...]
    license: str
    limits: str


class DriveReader:
    """A graph with an adapter: off it describes frames, on it compares them with queries."""

    def __init__(self, spec: DriveReaderSpec, session: Session) -> None:
        """Join a sidecar with a session of its graph."""
        self.spec = spec
        self.vocabulary = Vocabulary(spec.words)
        self._session = session
        image, (layers, _, width) = spec.input.image, spec.past
        self._no_image = np.zeros((1, image.channels, image.height, image.width), np.float32)
        self._no_command = np.zeros((1, 4), np.float32)
        self._no_past = np.zeros((1, layers, 0, width), np.float32)

    @classmethod
    def load(cls, model: Path | None = None) -> DriveReader:
        """Load a graph with its sidecar beside it, by default the one that ships.

        Raises:
            DataError: If a file is absent or damaged.
        """
        path = weights_folder() / f"{SHIPPED}{SUFFIX}" if model is None else model
        try:
            spec = DriveReaderSpec.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise DataError(f"cannot read the drive reader {path}: {error}") from error
        content = read_described_bytes(path, spec.files[0])
        return cls(spec, OnnxSession(content, name=spec.name))

    def describe(self, picture: NDArray[np.uint8], command: int | None = None) -> str:
        """Return what is to be seen in a picture, in sentences.

        Args:
            picture: (H, W, 3) uint8 RGB.
            command: `RoadOption` of the route; None: not known, then nothing is said of it.
        """
        return self.vocabulary.sentence(self.numbers(picture, command))

    def numbers(self, picture: NDArray[np.uint8], command: int | None = None) -> list[int]:
        """Return the numbers of a sentence's words; each is the most probable after the others."""
        past = self._read_frame(picture, command, _OFF)["past_on"]
        found: list[int] = []
        word = BEGIN
        while len(found) < self.spec.longest:
            # Only the new word is read: what was read before it is kept.
            read = self._read_words([word], past, _OFF)
            past, word = read["past_on"], int(read["logits"][0, -1].argmax())
            if word == END:
                break
            found.append(word)
        return found

    def query(self, text: str) -> NDArray[np.float32]:
        """Return what a query looks for, (16, 32) float32 of length 1.

        Raises:
            UserError: If it holds an unknown word, none, or too many.
        """
        read = self._read_words(self.vocabulary.query(text), self._no_past, _ON)
        return np.asarray(read["compared"][0])

    def score(
        self, query: NDArray[np.float32], picture: NDArray[np.uint8], command: int | None = None
    ) -> float:
        """Return how well a picture fits a query, at most 1.

        Every word is compared with the token of the frame that fits it best; the score is their
        mean (late interaction).
        """
        frame = self._read_frame(picture, command, _ON)["compared"][0]
        return float((query @ frame.T).max(axis=1).mean())

    def close(self) -> None:
        """Release the graph."""
        self._session.close()

    def _read_frame(
        self, picture: NDArray[np.uint8], command: int | None, adapter: NDArray[np.bool_]
    ) -> dict[str, NDArray[Any]]:
        canonical = canonical_from_picture(picture, self.spec.input.image)
        told = self._no_command
        if command is not None:
            told = one_hot_from_commands(np.array([command]))
        return self._session.run(
            {
                "image": feed_from_canonical(canonical[None], self.spec.input),
                "command": told,
                "words": np.zeros((1, 0), np.int64),
                "past": self._no_past,
                "adapter": adapter,
            }
        )

    def _read_words(
        self, words: list[int], past: NDArray[np.float32], adapter: NDArray[np.bool_]
    ) -> dict[str, NDArray[Any]]:
        return self._session.run(
            {
                "image": self._no_image,
                "command": self._no_command,
                "words": np.array([words], np.int64),
                "past": past,
                "adapter": adapter,
            }
        )
