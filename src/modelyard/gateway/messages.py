"""The messages of the Open Inference Protocol over gRPC, made at run time from the table below; other tables likewise.

Names and numbers are facts of the protocol: what every client of it sends. They live in a pool of their own, so that a client's
compiled messages of the same names may be in one process with them.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

# Each field: its number, its name, its type. `*` before a type: any number of them; `%`: a map from text to it; `|`: one of
# these alone is set. A type with a capital is a message: its full name in the package.
Table: TypeAlias = Mapping[str, tuple[tuple[int, str, str], ...]]
MESSAGES: Table = {
    "ServerLiveRequest": (),
    "ServerLiveResponse": ((1, "live", "bool"),),
    "ServerReadyRequest": (),
    "ServerReadyResponse": ((1, "ready", "bool"),),
    "ModelReadyRequest": ((1, "name", "string"), (2, "version", "string")),
    "ModelReadyResponse": ((1, "ready", "bool"),),
    "ServerMetadataRequest": (),
    "ServerMetadataResponse": ((1, "name", "string"), (2, "version", "string"), (3, "extensions", "*string")),
    "ModelMetadataRequest": ((1, "name", "string"), (2, "version", "string")),
    "ModelMetadataResponse": (
        (1, "name", "string"),
        (2, "versions", "*string"),
        (3, "platform", "string"),
        (4, "inputs", "*ModelMetadataResponse.TensorMetadata"),
        (5, "outputs", "*ModelMetadataResponse.TensorMetadata"),
    ),
    "ModelMetadataResponse.TensorMetadata": ((1, "name", "string"), (2, "datatype", "string"), (3, "shape", "*int64")),
    "InferParameter": (
        (1, "bool_param", "|bool"),
        (2, "int64_param", "|int64"),
        (3, "string_param", "|string"),
        (4, "double_param", "|double"),
        (5, "uint64_param", "|uint64"),
    ),
    "InferTensorContents": (
        (1, "bool_contents", "*bool"),
        (2, "int_contents", "*int32"),
        (3, "int64_contents", "*int64"),
        (4, "uint_contents", "*uint32"),
        (5, "uint64_contents", "*uint64"),
        (6, "fp32_contents", "*float"),
        (7, "fp64_contents", "*double"),
        (8, "bytes_contents", "*bytes"),
    ),
    "ModelInferRequest": (
        (1, "model_name", "string"),
        (2, "model_version", "string"),
        (3, "id", "string"),
        (4, "parameters", "%InferParameter"),
        (5, "inputs", "*ModelInferRequest.InferInputTensor"),
        (6, "outputs", "*ModelInferRequest.InferRequestedOutputTensor"),
        (7, "raw_input_contents", "*bytes"),
    ),
    "ModelInferRequest.InferInputTensor": (
        (1, "name", "string"),
        (2, "datatype", "string"),
        (3, "shape", "*int64"),
        (4, "parameters", "%InferParameter"),
        (5, "contents", "InferTensorContents"),
    ),
    "ModelInferRequest.InferRequestedOutputTensor": ((1, "name", "string"), (2, "parameters", "%InferParameter")),
    "ModelInferResponse": (
        (1, "model_name", "string"),
        (2, "model_version", "string"),
        (3, "id", "string"),
        (4, "parameters", "%InferParameter"),
        (5, "outputs", "*ModelInferResponse.InferOutputTensor"),
        (6, "raw_output_contents", "*bytes"),
    ),
    "ModelInferResponse.InferOutputTensor": (
        (1, "name", "string"),
        (2, "datatype", "string"),
        (3, "shape", "*int64"),
        (4, "parameters", "%InferParameter"),
        (5, "contents", "InferTensorContents"),
    ),
}
CONTENTS: Mapping[str, str] = {  # which of a tensor's contents hold a datatype; FP16 comes as bytes alone
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def message_classes(package: str = PACKAGE, table: Table = MESSAGES) -> dict[str, Any]:
    """Return the class of every message of a table by its name within the package."""
    pool = DescriptorPool()
    pool.Add(_file(package, table))
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in table}


def _file(package: str, table: Table) -> Any:
    file = FileDescriptorProto(name=f"modelyard/{package}.proto", package=package, syntax="proto3")
    made: dict[str, Any] = {}
    for name, fields in table.items():
        outer, _, own = name.rpartition(".")
        message = made[outer].nested_type.add(name=own) if outer else file.message_type.add(name=own)
        made[name] = message
        for number, field, kind in fields:
            _add(message, name, FieldDescriptorProto(name=field, number=number), kind)
    return file


def _add(message: Any, name: str, field: Any, kind: str) -> None:
    mark, told = (kind[0], kind[1:]) if kind[0] in "*%|" else ("", kind)
    if mark == "%":
        entry = _map_entry(message, field.name, told)
        mark, told = "*", f"{name}.{entry}"
    field.label = field.LABEL_REPEATED if mark == "*" else field.LABEL_OPTIONAL
    if mark == "|":
        if not message.oneof_decl:
            message.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0
    _set_type(field, told)
    message.field.append(field)


def _map_entry(message: Any, name: str, value: str) -> str:
    entry: Any = DescriptorProto(name=f"{name.capitalize()}Entry")
    entry.options.map_entry = True
    for number, (part, kind) in enumerate((("key", "string"), ("value", value)), 1):
        field: Any = FieldDescriptorProto(name=part, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
        _set_type(field, kind)
        entry.field.append(field)
    message.nested_type.append(entry)
    return str(entry.name)


def _set_type(field: Any, kind: str) -> None:
    if kind[0].isupper():
        field.type, field.type_name = field.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
    else:
        field.type = getattr(field, f"TYPE_{kind.upper()}")
