"""A stand-in for TensorRT that builds "engines" and runs them with ONNX Runtime.

It has the names of one release, STAND_IN_TENSORRT in the environment, and no others, as far as the
Jetson runtime could use them; `test_tensorrt_api.py` compares the runtime with the real bindings.
STAND_IN_FAULT makes it fail: ``parse``, ``build``, ``wrong`` (an engine with other answers) or
``killed`` (as the kernel ends a process when memory runs out).
"""

import ctypes
import json
import os
import signal
from enum import Enum

import numpy as np

from edge.session import OnnxSession

__version__ = os.environ["STAND_IN_TENSORRT"]
_MAJOR = int(__version__.split(".")[0])
_FAULT = os.environ.get("STAND_IN_FAULT", "")
_MAGIC = b"stand-in engine\n"

DataType = Enum("DataType", "FLOAT HALF INT8 INT32 BOOL" + (" UINT8 INT64" if _MAJOR >= 10 else ""))
if _MAJOR < 11:
    BuilderFlag = Enum("BuilderFlag", "FP16 INT8")
    NetworkDefinitionCreationFlag = Enum(
        "NetworkDefinitionCreationFlag", {"EXPLICIT_BATCH": 0}, type=int
    )
else:
    BuilderFlag = Enum("BuilderFlag", "TF32")
    NetworkDefinitionCreationFlag = Enum("NetworkDefinitionCreationFlag", {"STRONGLY_TYPED": 1})
if _MAJOR >= 10:
    MemoryPoolType = Enum("MemoryPoolType", "WORKSPACE")
    TensorIOMode = Enum("TensorIOMode", "NONE INPUT OUTPUT")


class Logger:
    WARNING = 2

    def __init__(self, min_severity=WARNING):
        self.min_severity = min_severity


class INetworkDefinition:
    def __init__(self):
        self.graph = b""


class OnnxParser:
    def __init__(self, network, logger):
        self._network = network
        self.num_errors = 0

    def parse(self, model, path=None):
        self._network.graph = bytes(model)
        self.num_errors = int(_FAULT == "parse")
        return not self.num_errors

    def get_error(self, index):
        return f"error {index}: unsupported operator Teleport"


class IOptimizationProfile:
    def __init__(self):
        self.shapes = {}

    def set_shape(self, input, min, opt, max):  # noqa: A002 - TensorRT's names
        assert tuple(min) == tuple(opt) == tuple(max)
        self.shapes[input] = tuple(opt)


class ITimingCache:
    def __init__(self, content):
        self.content = content

    def serialize(self):
        return memoryview(self.content or b"timings")


class IBuilderConfig:
    def __init__(self):
        self.flags, self.profiles, self.workspace = [], [], 0
        self.tactic_sources = 7

    def set_flag(self, flag):
        self.flags.append(flag)

    def clear_flag(self, flag):
        if flag in self.flags:
            self.flags.remove(flag)

    def get_tactic_sources(self):
        return self.tactic_sources

    def set_tactic_sources(self, tactic_sources):
        self.tactic_sources = tactic_sources

    def add_optimization_profile(self, profile):
        self.profiles.append(profile)

    def create_timing_cache(self, serialized_timing_cache):
        return ITimingCache(bytes(serialized_timing_cache))

    def set_timing_cache(self, cache, ignore_mismatch):
        return True

    if _MAJOR >= 10:

        def set_memory_pool_limit(self, pool, pool_size):
            self.workspace = pool_size

    else:

        @property
        def max_workspace_size(self):
            return self.workspace

        @max_workspace_size.setter
        def max_workspace_size(self, size):
            self.workspace = size


class Builder:
    def __init__(self, logger):
        pass

    def create_network(self, flags=0):
        # Without explicit batch dimensions TensorRT 8 reads no ONNX graph.
        assert _MAJOR >= 10 or flags == 1
        return INetworkDefinition()

    def create_builder_config(self):
        return IBuilderConfig()

    def create_optimization_profile(self):
        return IOptimizationProfile()

    def build_serialized_network(self, network, config):
        if _FAULT == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if _FAULT == "build" or (_FAULT == "tactics" and not config.tactic_sources):
            return None
        assert 64 << 20 <= config.workspace <= 256 << 20
        flags = [flag.name for flag in config.flags]
        # Weakly typed networks with Q/DQ are refused without the flag, and others warn with it.
        assert ("INT8" in flags) == (b"QuantizeLinear" in network.graph and _MAJOR < 11)
        head = {
            "release": __version__,
            "half": "FP16" in flags,
            "shapes": config.profiles[0].shapes,
        }
        return memoryview(_MAGIC + json.dumps(head).encode() + b"\n" + network.graph)


class Runtime:
    def __init__(self, logger):
        pass

    def deserialize_cuda_engine(self, serialized_engine):
        content = bytes(serialized_engine)
        if not content.startswith(_MAGIC):
            return None
        head, graph = content[len(_MAGIC) :].split(b"\n", 1)
        return ICudaEngine(json.loads(head.decode()), graph)


class ICudaEngine:
    def __init__(self, head, graph):
        assert head["release"] == __version__, "another release's engine must not get here"
        session = OnnxSession(graph, name="engine")
        self._head, self._session = head, session
        self._tensors = [*session.inputs, *session.outputs]
        self._input_count = len(session.inputs)

    def create_execution_context(self):
        return IExecutionContext(self)

    if _MAJOR >= 10:

        @property
        def num_io_tensors(self):
            return len(self._tensors)

        def get_tensor_name(self, index):
            return self._tensors[index].name

        def get_tensor_mode(self, name):
            inputs = [spec.name for spec in self._session.inputs]
            return TensorIOMode.INPUT if name in inputs else TensorIOMode.OUTPUT

        def get_tensor_dtype(self, name):
            return DataType.FLOAT

    else:

        @property
        def num_bindings(self):
            return len(self._tensors)

        def get_binding_name(self, index):
            return self._tensors[index].name

        def binding_is_input(self, index):
            return index < self._input_count

        def get_binding_dtype(self, index):
            return DataType.FLOAT


class IExecutionContext:
    def __init__(self, engine):
        self._engine = engine
        self._shapes = {}

    def _set(self, name, shape):
        assert tuple(shape) == tuple(self._engine._head["shapes"][name])
        self._shapes[name] = tuple(shape)

    def _get(self, name):
        if name in self._shapes:
            return self._shapes[name]
        spec = next(one for one in self._engine._tensors if one.name == name)
        return (1, *spec.shape[1:])

    if _MAJOR >= 10:

        def set_input_shape(self, name, shape):
            self._set(name, shape)

        def get_tensor_shape(self, name):
            return self._get(name)

    else:

        def set_binding_shape(self, binding, shape):
            self._set(self._engine._tensors[binding].name, shape)

        def get_binding_shape(self, binding):
            return self._get(self._engine._tensors[binding].name)

    def execute_v2(self, bindings):
        engine = self._engine
        arrays = {}
        for spec, address in zip(engine._tensors, bindings, strict=True):
            shape = self._get(spec.name)
            there = (ctypes.c_float * int(np.prod(shape))).from_address(address)
            arrays[spec.name] = np.ctypeslib.as_array(there).reshape(shape)
        feeds = {spec.name: arrays[spec.name] for spec in engine._session.inputs}
        if engine._head["half"]:
            feeds = {name: _rounded(value) for name, value in feeds.items()}
        for name, value in engine._session.run(feeds).items():
            half = _rounded(value) if engine._head["half"] else value
            arrays[name][...] = half + 5.0 if _FAULT == "wrong" else half
        return True


def _rounded(values):
    """Return what half precision leaves of values."""
    return values.astype(np.float16).astype(np.float32)
