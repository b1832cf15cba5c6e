"""What is fuzzed: each target takes bytes, as a door gets them, and raises only where something is wrong with us.

Whatever the bytes are, a decoder gives a call that its version answers, or a problem in words; see `tests.gateway.decoding`.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from weakref import finalize

from modelyard.core import Problem, TraceContext
from modelyard.gateway import grpc_door, mlflow, oip, stream, tfserving
from modelyard.gateway.calls import Ask, Call
from modelyard.gateway.grpc_door import MESSAGES
from modelyard.gateway.tensors import DATATYPES, from_bytes
from modelyard.serving.broker import Message
from tests.gateway.decoding import KINDS, answered, ask_of

Target = Callable[[bytes], None]
TYPES = sorted(DATATYPES)
WIDE = 255

ROW = {"at": "2013-01-01T05:00:00Z", "carrier": "UA", "distance": 500, "seats": 55, "wind": 1.5, "visible": True,
       "day": "2013-01-01", "image": [[1.0, 2.0], [3.0, 4.0]]}  # fmt: skip
_SENT = {"at": "BYTES", "carrier": "BYTES", "distance": "INT64", "seats": "INT64", "wind": "FP64", "visible": "BOOL",
         "day": "BYTES", "image": "FP32"}  # fmt: skip
_TENSORS = [
    {"name": name, "datatype": kind, "shape": [1, 2, 2] if name == "image" else [1], "data": [ROW[name]]}
    for name, kind in _SENT.items()
]
_JSON = [
    {"inputs": _TENSORS, "id": "a", "parameters": {"ids": ["b"], "time": "2013-01-01", "key": "c"}},
    {"inputs": _TENSORS[-1:], "outputs": [{"name": "sum", "parameters": {"binary_data": True}}]},
    {"dataframe_split": {"columns": list(ROW), "data": [list(ROW.values())]}},
    {"dataframe_records": [ROW]},
    {"instances": [ROW]},
    {"inputs": {name: [value] for name, value in ROW.items()}},
    {"instances": [{**ROW, "carrier": {"b64": "VUE="}}], "signature_name": "serving_default"},
    ROW,
]


def targets() -> Mapping[str, Target]:
    """Return all, by name: for a version that takes raw columns, and one that takes tensors."""
    found: dict[str, Target] = {"tensor": _tensor, "trace": _trace}
    for kind in KINDS:
        folder = TemporaryDirectory()
        ask = ask_of(kind, Path(folder.name))
        found |= {f"{door}-{kind}": _answered(read) for door, read in _readers(ask).items()}
        finalize(ask.target, folder.cleanup)
    return found


def _readers(ask: Ask) -> Mapping[str, Callable[[bytes], Call]]:
    return {
        "oip": lambda body: oip.read(ask, body),
        "oip-binary": lambda body: oip.read(ask, body, _split(body)),
        "mlflow": lambda body: mlflow.read_json(ask, body),
        "csv": lambda body: mlflow.read_csv(ask, body),
        "tensorflow": lambda body: tfserving.read(ask, body)[0],
        "grpc": lambda body: grpc_door.read(ask, grpc_door.parsed("ModelInferRequest", body))[0],
        "kafka": lambda body: stream.read(ask, _message(body)),
    }


def seeds(name: str) -> list[bytes]:
    """Return good bytes to begin with."""
    door = name.partition("-")[0]
    if door == "grpc":
        return [_grpc()]
    if door == "csv":
        return [",".join(map(str, ROW)).encode() + b"\n" + ",".join(str(one) for one in ROW.values()).encode()]
    if door == "tensor":
        return [bytes([place]) + b"\2\0\0\0UA" for place in range(len(TYPES))]
    if door == "trace":
        return [b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]
    bodies = [json.dumps(document).encode() for document in _JSON]
    return [*bodies, _binary()]


def _answered(read: Callable[[bytes], Call]) -> Target:
    return lambda body: answered(lambda: read(body))


def _tensor(content: bytes) -> None:
    try:
        from_bytes("wind", TYPES[content[0] % len(TYPES)] if content else "", content[1:])
    except Problem:
        return


def _trace(content: bytes) -> None:
    found = TraceContext.parse(content.decode("latin-1"))
    assert found is None or TraceContext.parse(found.traceparent) is not None


def _split(body: bytes) -> int:
    """Return where the JSON part ends: after its last brace, and now and then beside that."""
    return body.rfind(b"}") + 1 + (body[-1] % 3 - 1 if body else 0)


def _message(body: bytes) -> Message:
    value, _, rest = body.partition(b"\0")
    headers = ((stream.ID, rest[:WIDE]), (stream.TIME, rest[WIDE:])) if rest else ()
    return Message("requests", 0, 7, rest[:9] or None, value, headers, datetime(2013, 1, 1, tzinfo=UTC))


def _binary() -> bytes:
    tensor = {"name": "image", "datatype": "FP32", "shape": [1, 2, 2], "parameters": {"binary_data_size": 16}}
    return json.dumps({"inputs": [tensor]}).encode() + b"\0\0\x80?" * 4


def _grpc() -> bytes:
    message = MESSAGES["ModelInferRequest"](model_name="delay", id="a")
    message.inputs.add(name="image", datatype="FP32", shape=[1, 2, 2])
    message.raw_input_contents.append(b"\0\0\x80?" * 4)
    message.parameters["ids"].string_param = '["b"]'
    return bytes(message.SerializeToString())
