"""What a program touches of TensorRT, with the `hasattr` tests that stand before it.

Objects are known by the names that the runtime gives them; a path of the program is possible with
an API if all tests before it come out so with that API.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

Api = Mapping[str, Mapping[str, object]]

#: Name of a variable -> the class of TensorRT that it holds; ``tensorrt`` is the module.
CLASS_BY_VARIABLE = {
    "builder": "Builder",
    "cache": "ITimingCache",
    "config": "IBuilderConfig",
    "context": "IExecutionContext",
    "engine": "ICudaEngine",
    "flag": "NetworkDefinitionCreationFlag",
    "kind": "DataType",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "profile": "IOptimizationProfile",
    "runtime": "Runtime",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """`hasattr(owner, member)` came out as `holds`."""

    __test__ = False

    owner: str
    member: str
    holds: bool

    def is_possible(self, api: Api) -> bool:
        """Return whether it can come out so with an API."""
        return (self.member in api.get(self.owner, {})) == self.holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch:
    """A member that is used, or a class that is called.

    Attributes:
        owner: Class.
        member: Its member; ``__init__`` for a call of the class.
        arguments: Number of arguments of a call; None if it is no call.
        tests: What must have come out how to get here.
        line: In the file.
    """

    owner: str
    member: str
    arguments: int | None
    tests: tuple[Test, ...]
    line: int

    def problem(self, api: Api) -> str | None:
        """Return what is wrong with it in an API, or None; None too if the path is impossible."""
        if not all(test.is_possible(api) for test in self.tests):
            return None
        where = f"line {self.line}: {self.owner}.{self.member}"
        if self.owner not in api or self.member not in api[self.owner]:
            return f"{where} does not exist"
        parameters = api[self.owner][self.member]
        if self.arguments is None or not isinstance(parameters, list):
            return None
        least = sum(not name.endswith("=") for name in parameters)
        if least <= self.arguments <= len(parameters):
            return None
        return f"{where} takes {parameters}, it is called with {self.arguments} arguments"


def touches(source: str, functions: frozenset[str]) -> list[Touch]:
    """Return what the functions and classes of these names touch."""
    found: list[Touch] = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in functions:
            walker = _Walker()
            walker.visit(node)
            found += walker.found
    return found


class _Walker(ast.NodeVisitor):
    def __init__(self) -> None:
        self.found: list[Touch] = []
        self._tests: tuple[Test, ...] = ()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._block(node.body)

    def visit_If(self, node: ast.If) -> None:
        tests = _tests(node.test)
        if not tests:
            self.visit(node.test)
        before = self._tests
        self._tests = before + tests
        self._block(node.body)
        self._tests = before + _opposite(tests)
        self._block(node.orelse)
        self._tests = before

    def visit_Call(self, node: ast.Call) -> None:
        touched = _touched(node.func)
        if touched is None:
            self.visit(node.func)
        else:
            self._note(node, *touched, arguments=len(node.args))
        for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
            self.visit(argument)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        touched = _touched(node)
        if touched is None:
            self.generic_visit(node)
        elif touched[1] != "__init__":  # a class alone is on its way to one of its members
            self._note(node, *touched, arguments=None)

    def _block(self, statements: list[ast.stmt]) -> None:
        """Visit statements; after an `if` that always raises, its test came out otherwise."""
        before = self._tests
        for statement in statements:
            self.visit(statement)
            if isinstance(statement, ast.If) and isinstance(statement.body[-1], ast.Raise):
                self._tests += _opposite(_tests(statement.test))
        self._tests = before

    def _note(self, node: ast.expr, owner: str, member: str, *, arguments: int | None) -> None:
        self.found.append(
            Touch(
                owner=owner,
                member=member,
                arguments=arguments,
                tests=self._tests,
                line=node.lineno,
            )
        )


def _touched(node: ast.expr) -> tuple[str, str] | None:
    """Return class and member of an attribute of a known object, or None."""
    if not isinstance(node, ast.Attribute):
        return None
    value = node.value
    if isinstance(value, ast.Name) and value.id == "tensorrt":
        is_class = node.attr[0].isupper()
        return (node.attr, "__init__") if is_class else ("", node.attr)
    if isinstance(value, ast.Name) and value.id in CLASS_BY_VARIABLE:
        return CLASS_BY_VARIABLE[value.id], node.attr
    if (
        isinstance(value, ast.Attribute)
        and isinstance(value.value, ast.Name)
        and value.value.id == "tensorrt"
    ):
        return value.attr, node.attr
    return None


def _tests(node: ast.expr) -> tuple[Test, ...]:
    """Return the `hasattr` that a condition consists of, or nothing."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return _opposite(_tests(node.operand))
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        return ()
    if node.func.id != "hasattr" or not isinstance(node.args[1], ast.Constant):
        return ()
    owner = node.args[0]
    if isinstance(owner, ast.Name) and owner.id in CLASS_BY_VARIABLE:
        name = CLASS_BY_VARIABLE[owner.id]
    elif isinstance(owner, ast.Attribute):
        name = owner.attr
    else:
        return ()
    return (Test(owner=name, member=str(node.args[1].value), holds=True),)


def _opposite(tests: tuple[Test, ...]) -> tuple[Test, ...]:
    return tuple(Test(owner=test.owner, member=test.member, holds=not test.holds) for test in tests)
