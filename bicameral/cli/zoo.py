"""`bicameral zoo`: the classifiers from the literature, and what each is good for."""

from __future__ import annotations

import sys


def zoo(name: str | None = None, /, *, markdown: bool = False) -> int:
    """List the classifiers of the zoo with what was measured, or show one of them.

    The figures come with the project: they are those of FashionMNIST that `bicameral assess zoo`
    measured.

    Args:
        name: Entry to show; all are listed without it.
        markdown: Print all tables as Markdown, as they stand in docs/zoo/README.md.
    """
    from bicameral.cli.zoo_tables import print_entry, print_zoo
    from models.zoo.catalogue import entry
    from models.zoo.markdown import markdown_tables
    from models.zoo.results import shipped_evaluation

    if markdown:
        sys.stdout.write(markdown_tables(shipped_evaluation()))
    elif name is None:
        print_zoo(shipped_evaluation())
    else:
        print_entry(name, entry(name), shipped_evaluation())
    return 0
