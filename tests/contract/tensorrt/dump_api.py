"""Writes the API of the TensorRT bindings on the path as JSON: class, member, parameters.

Parameters are those of pybind11's signature in the docstring, a trailing ``=`` where there is a
default; ``null`` for what is no method, ``"*"`` for several overloads.
"""

import inspect
import json
import re
import sys

import tensorrt_bindings as bindings


def parameters(member):
    """Return the parameters of a method without ``self``, or what stands for them."""
    text = (getattr(member, "__doc__", None) or "").strip()
    if not callable(member) or isinstance(member, type) or "(" not in text:
        return None
    if "Overloaded function" in text:
        return "*"
    inside = re.match(r"\w+\((.*?)\)(?: ->.*)?(?:\n|$)", text)
    if inside is None:
        return "*"
    # No parameter's type holds a comma outside brackets.
    flat = re.sub(r"\[[^\]]*\]", "", inside.group(1))
    names = [part for part in flat.split(", ") if part and not part.startswith("self")]
    return [part.split(":")[0] + ("=" if " = " in part else "") for part in names]


api = {}
for name, member in vars(bindings).items():
    if inspect.isclass(member):
        shown = [one for one in dir(member) if not one.startswith("__") or one == "__init__"]
        api[name] = {one: parameters(getattr(member, one)) for one in shown}
api[""] = {"__version__": None}
json.dump({"version": bindings.__version__, "api": api}, sys.stdout)
