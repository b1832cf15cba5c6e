"""Doors' decoders by themselves: a version to decode for, and the rule that whatever comes is answered or refused in words."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from modelyard.adapters.file import FileObjects
from modelyard.adapters.onnx import OnnxFramework
from modelyard.core import Problem
from modelyard.gateway.calls import Ask, Call
from modelyard.gateway.routes import Target
from modelyard.serving import DeploymentId, Revision, Route, ServedDeployment
from modelyard.serving.infer import LoadedVersion, load_version
from modelyard.training import Framework
from tests.gateway.packages import build, build_direct
from tests.gateway.world import PROJECT

KINDS = ("prepared", "direct")  # a version that takes raw columns, and one that takes tensors


@dataclass(frozen=True)
class Ports:
    """What loading a version needs."""

    objects: FileObjects
    framework: Callable[[str], Framework]


def ask_of(kind: str, folder: Path) -> Ask:
    """Return who asks a version of a kind, built and loaded in a folder."""
    objects = FileObjects(folder / "objects")
    made = build(objects, PROJECT, folder, 1).form if kind == "prepared" else build_direct(objects, PROJECT, 1)
    loaded = load_version(Ports(objects, lambda _name: OnnxFramework()), PROJECT, made, folder / "packages")
    return Ask(Target(deployment(loaded), {1: loaded}), None, "caller", "req_1", 0.0)


def deployment(loaded: LoadedVersion) -> ServedDeployment:
    """Return a deployment that one version answers."""
    revision = Revision(DeploymentId("dep_delay"), 1, (Route(1, 100),), "test", datetime(2013, 4, 1, tzinfo=UTC))
    return ServedDeployment(PROJECT, "flights", revision.deployment, "delay", "delay", None, revision, (loaded.served,))


def answered(read: Callable[[], Call]) -> None:
    """Read a request and answer it, or be told why not."""
    try:
        call = read()
        assert len(call.ids) == call.count > 0
        call.answers = call.loaded.infer(call.rows)
    except Problem as problem:
        assert problem.code != "version.failed", problem
    else:
        assert {len(values) for values in call.answers.values()} == {call.count}
