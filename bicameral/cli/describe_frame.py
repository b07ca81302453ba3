"""`bicameral describe-frame`: say in words what a frame of a drive shows."""

from __future__ import annotations

import sys
from pathlib import Path

from edge.drives.reader import DriveReader
from edge.pictures import read_picture


def describe_frame(frame: Path, /) -> int:
    """Say what a picture of the camera among others shows: weather, junction, road.

    Nothing is said of the route, which no picture shows; `search` knows it from the recording.

    Args:
        frame: Picture file, 320 x 160, as `search --pictures` writes them.
    """
    reader = DriveReader.load()
    picture = read_picture(frame, reader.spec.input.image)
    sys.stdout.write(reader.describe(picture) + "\n")
    return 0
