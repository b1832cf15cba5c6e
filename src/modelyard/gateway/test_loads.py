"""Versions that are loaded side by side."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import Any, cast

import pytest

from modelyard.core import Problem, ProjectId, digest_bytes
from modelyard.gateway.loads import Loads
from modelyard.registry import Signature
from modelyard.serving import DeploymentId, Revision, ServedDeployment, ServedForm
from modelyard.serving.infer import LoadedVersion

FORM = ServedForm(1, Signature((), ()), None, "onnx", digest_bytes(b"1"), "onnxruntime")
OTHER = replace(FORM, version=2)
AT = datetime(2013, 4, 1, tzinfo=UTC)
DEPLOYMENT = ServedDeployment(
    ProjectId("prj_a"), "a", DeploymentId("dep_a"), "a", "a", None, Revision(DeploymentId("dep_a"), 1, (), "test", AT), ()
)
WANTED = (DEPLOYMENT.project, DEPLOYMENT.deployment, FORM)
FOLDER = Path("unused")


class Loading:
    """Loads what it is told to when it is told to."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.ended: SimpleQueue[None] = SimpleQueue()
        self.may = {1: Event(), 2: Event()}
        self.problem: Problem | None = None

    def load(self, _deployment: ServedDeployment, form: ServedForm, _folder: Path) -> LoadedVersion:
        self.begun.append(form.version)
        assert self.may[form.version].wait(10)
        if self.problem is not None:
            raise self.problem
        return LoadedVersion(form, cast("Any", None), {}, {}, {}, ())


def version(found: LoadedVersion | Exception | float) -> int:
    assert isinstance(found, LoadedVersion)
    return found.served.version


@pytest.fixture
def loading() -> Loading:
    return Loading()


@pytest.fixture
def loads(loading: Loading) -> Iterator[Loads]:
    made = Loads(loading.load, lambda: loading.ended.put(None), clock=lambda: 5.0)
    yield made
    for event in loading.may.values():
        event.set()
    made.close()


def test_a_slow_one_keeps_no_other_waiting_and_none_is_begun_twice(loading: Loading, loads: Loads) -> None:
    for _ in range(3):
        assert loads.get(DEPLOYMENT, FORM, FOLDER) == 0.0
    loading.may[2].set()
    loads.get(DEPLOYMENT, OTHER, FOLDER)
    loading.ended.get(timeout=10)
    assert version(loads.get(DEPLOYMENT, OTHER, FOLDER)) == 2
    assert loads.get(DEPLOYMENT, FORM, FOLDER) == 0.0
    assert sorted(loading.begun) == [1, 2]


def test_a_failure_stays_until_it_is_forgotten(loading: Loading, loads: Loads) -> None:
    loading.problem = Problem("model.invalid", "It is none")
    loading.may[1].set()
    loads.get(DEPLOYMENT, FORM, FOLDER)
    loading.ended.get(timeout=10)
    assert loads.get(DEPLOYMENT, FORM, FOLDER) is loading.problem
    loading.problem = None
    loads.forget_failures()
    loads.get(DEPLOYMENT, FORM, FOLDER)
    loading.ended.get(timeout=10)
    loads.forget_failures()
    assert version(loads.get(DEPLOYMENT, FORM, FOLDER)) == 1


def test_what_nobody_wants_any_more_is_let_go_when_it_comes(loading: Loading, loads: Loads) -> None:
    loads.get(DEPLOYMENT, FORM, FOLDER)
    loads.keep([])
    loading.may[1].set()
    loading.ended.get(timeout=10)
    loads.keep([])
    loading.may[1].clear()
    assert loads.get(DEPLOYMENT, FORM, FOLDER) == 0.0  # begun anew
    loads.keep([WANTED])
    loading.may[1].set()
    loading.ended.get(timeout=10)
    assert version(loads.get(DEPLOYMENT, FORM, FOLDER)) == 1
