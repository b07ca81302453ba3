import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--expert-routes",
        type=int,
        default=1,
        help="routes per town that the expert drives; 13 for the full check of 52 routes",
    )
