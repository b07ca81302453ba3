"""Git LFS pointers: small text files that lie where a model should, until it is fetched."""

from __future__ import annotations

_BEGINNING = b"version https://git-lfs.github.com/"


def pointer_problem(content: bytes) -> str | None:
    """Return what is wrong with a file that only points to a model; None if it does not.

    Args:
        content: What the file holds, or how it begins.
    """
    if not content.startswith(_BEGINNING):
        return None
    return (
        "is not the model but a Git LFS pointer to it; fetch the model with 'git lfs install' and "
        "'git lfs pull' in its repository"
    )
