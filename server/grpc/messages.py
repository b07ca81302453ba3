"""The messages of the Open Inference Protocol over gRPC, as far as they are understood here.

Names and numbers of fields are the protocol's and, for its extensions, Triton's. They are described
in this table instead of in generated code, in a pool of their own: whoever uses Triton's client in
the same process has messages of the same names.
"""

from __future__ import annotations

from typing import Any, Final

from bicameral.protobuf import message_classes

PACKAGE: Final = "inference"

_MESSAGES: Final = """\
ServerLiveRequest
ServerLiveResponse: live 1 bool
ServerReadyRequest
ServerReadyResponse: ready 1 bool
ModelReadyRequest: name 1 string, version 2 string
ModelReadyResponse: ready 1 bool
ServerMetadataRequest
ServerMetadataResponse: name 1 string, version 2 string, extensions 3 string*
ModelMetadataRequest: name 1 string, version 2 string
ModelMetadataResponse: name 1 string, versions 2 string*, platform 3 string,
    inputs 4 TensorMetadata*, outputs 5 TensorMetadata*
TensorMetadata: name 1 string, datatype 2 string, shape 3 int64*
InferParameter: bool_param 1 bool, int64_param 2 int64, string_param 3 string,
    double_param 4 double, uint64_param 5 uint64
InferTensorContents: bool_contents 1 bool*, int_contents 2 int32*, int64_contents 3 int64*,
    uint_contents 4 uint32*, uint64_contents 5 uint64*, fp32_contents 6 float*,
    fp64_contents 7 double*, bytes_contents 8 bytes*
InferInputTensor: name 1 string, datatype 2 string, shape 3 int64*, parameters 4 map.InferParameter,
    contents 5 InferTensorContents
InferRequestedOutputTensor: name 1 string, parameters 2 map.InferParameter
ModelInferRequest: model_name 1 string, model_version 2 string, id 3 string,
    parameters 4 map.InferParameter, inputs 5 InferInputTensor*,
    outputs 6 InferRequestedOutputTensor*, raw_input_contents 7 bytes*
InferOutputTensor: name 1 string, datatype 2 string, shape 3 int64*
ModelInferResponse: model_name 1 string, model_version 2 string, id 3 string,
    outputs 5 InferOutputTensor*, raw_output_contents 6 bytes*
ModelConfigRequest: name 1 string, version 2 string
ModelConfigResponse: config 1 ModelConfig
ModelConfig: name 1 string, platform 2 string, max_batch_size 4 int32, input 5 ModelInput*,
    output 6 ModelOutput*
ModelInput: name 1 string, data_type 2 enum, dims 4 int64*
ModelOutput: name 1 string, data_type 2 enum, dims 3 int64*
ModelStatisticsRequest: name 1 string, version 2 string
ModelStatisticsResponse: model_stats 1 ModelStatistics*
StatisticDuration: count 1 uint64, ns 2 uint64
InferStatistics: success 1 StatisticDuration, fail 2 StatisticDuration, queue 3 StatisticDuration,
    compute_input 4 StatisticDuration, compute_infer 5 StatisticDuration,
    compute_output 6 StatisticDuration, cache_hit 7 StatisticDuration,
    cache_miss 8 StatisticDuration
InferBatchStatistics: batch_size 1 uint64, compute_input 2 StatisticDuration,
    compute_infer 3 StatisticDuration, compute_output 4 StatisticDuration
ModelStatistics: name 1 string, version 2 string, last_inference 3 uint64, inference_count 4 uint64,
    execution_count 5 uint64, inference_stats 6 InferStatistics, batch_stats 7 InferBatchStatistics*
RepositoryIndexRequest: repository_name 1 string, ready 2 bool
RepositoryIndexResponse: models 1 ModelIndex*
ModelIndex: name 1 string, version 2 string, state 3 string, reason 4 string
ModelRepositoryParameter: bool_param 1 bool, int64_param 2 int64, string_param 3 string,
    bytes_param 4 bytes
RepositoryModelLoadRequest: repository_name 1 string, model_name 2 string,
    parameters 3 map.ModelRepositoryParameter
RepositoryModelLoadResponse
RepositoryModelUnloadRequest: repository_name 1 string, model_name 2 string,
    parameters 3 map.ModelRepositoryParameter
RepositoryModelUnloadResponse
"""

#: Triton's numbers of datatypes, in this order from 0.
_DATA_TYPES: Final = (
    *("INVALID", "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32"),
    *("INT64", "FP16", "FP32", "FP64", "STRING", "BF16"),
)


_CLASSES: Final = message_classes(
    PACKAGE,
    _MESSAGES,
    syntax="proto3",
    choices=("InferParameter", "ModelRepositoryParameter"),
    enum=[f"TYPE_{name}" for name in _DATA_TYPES],
)


def message_class(name: str) -> Any:
    """Return the class of a message."""
    return _CLASSES[name]
