"""Folders of code come in where an admin has allowed it, on record; whatever else they do, nothing is left of them."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from modelyard.core import Digest, Problem, digest_bytes
from modelyard.jobs.service import submit
from modelyard.registry import ModelVersion
from modelyard.registry.imports import IMPORT_JOB, Wish, request_import
from modelyard.registry.service import find_models, get_version
from modelyard.serving.infer import holds_code, load_version
from modelyard.serving.service import served_form
from modelyard.tenancy import Actor, Role
from tests.runner_steps.code_models import FOLDER, scores
from tests.runner_steps.place import Place

PIXELS = np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32)
TAKES = b"""
class Model:
    inputs = {"x": "Float32"}
    outputs = {"y": "Float32"}
"""


def kept(place: Place, files: Mapping[str, bytes]) -> dict[str, Digest]:
    return dict(zip(files, place.platform.objects.put(place.project, list(files.values())), strict=True))


def brought(place: Place, files: Mapping[str, bytes], *, allow_code: bool = True) -> ModelVersion:
    request_import(*place.who, "faces", Wish("faces", kept(place, files), allow_code=allow_code, note="from a friend"))
    result = place.work()
    return get_version(*place.who, f"faces@{result['version']}")


def events(place: Place, kind: str) -> list[Mapping[str, object]]:
    with place.platform.reading() as tx:
        return [event.data for event in tx.events.read(place.project, kinds=[kind], limit=100)]


def nothing_is_left(place: Place) -> bool:
    return "faces" not in [model.name for model in find_models(*place.who)]


def test_it_comes_in_with_who_allowed_it_and_answers_for_itself(place: Place) -> None:
    version = brought(place, FOLDER)
    assert [(one.name, one.dtype) for one in version.signature.inputs] == [("pixels", "Array[Float32, 4]")]
    outputs = {one.name: one.dtype for one in version.signature.outputs}
    assert outputs == {"scores": "Array[Float32, 3]", "best": "Int64", "process": "Int64"}
    [form] = version.forms
    assert (form.name, form.framework) == ("native", "python")
    assert version.origin is not None
    assert version.origin.code is not None
    assert (version.origin.code.by, version.origin.code.at) == (place.actor.member, place.clock())
    card = place.card(version)
    assert "**It runs its maker's code**" in card
    assert place.actor.member in card
    with place.platform.reading() as tx:
        served = served_form(tx, version)
    folder = place.scratch / "served"
    loaded = load_version(place.platform, place.project, served, folder)
    assert holds_code(served, folder), "gateways load it into a process of its own"
    answers = loaded.infer(loaded.batch({"pixels": PIXELS}))
    assert np.array_equal(answers["scores"], scores(PIXELS))
    assert np.array_equal(answers["best"], scores(PIXELS).argmax(axis=1))
    assert "more" not in answers


def test_the_audit_has_the_digest_of_every_file(place: Place) -> None:
    brought(place, FOLDER)
    digests = {name: digest_bytes(content) for name, content in FOLDER.items()}
    [allowed] = events(place, "model.code_allowed")
    assert allowed["files"] == digests
    registered = [one for one in events(place, "version.registered") if one.get("files")]
    assert [one["files"] for one in registered] == [digests]
    assert registered[0]["code_allowed_by"] == place.actor.member


def test_the_same_folder_makes_the_same_form(place: Place) -> None:
    first, second = brought(place, FOLDER), brought(place, dict(reversed(FOLDER.items())))
    assert first.forms[0].digest == second.forms[0].digest


def test_without_the_allowance_the_refusal_says_what_that_is(place: Place) -> None:
    with pytest.raises(Problem, match="--allow-code") as told:
        brought(place, FOLDER, allow_code=False)
    assert told.value.code == "import.refused"
    with pytest.raises(Problem, match="--allow-code"):
        brought(place, {"weights.pkl": b"x"}, allow_code=False)
    assert nothing_is_left(place)
    assert events(place, "model.code_allowed") == []


@pytest.mark.parametrize("role", [Role.TRAINER, Role.APPROVER])
def test_only_admins_may_allow_it(place: Place, role: Role) -> None:
    member: Actor = replace(place.actor, role=role)
    with pytest.raises(Problem) as told:
        request_import(place.platform, member, place.project, "faces", Wish("f", kept(place, FOLDER), allow_code=True))
    assert told.value.code == "action.forbidden"
    assert events(place, "model.code_allowed") == []


def test_a_job_that_says_of_itself_that_it_may_is_refused(place: Place) -> None:
    request_import(*place.who, "faces", Wish("faces", kept(place, FOLDER), allow_code=True))
    honest = place.take().job
    other = kept(place, {**FOLDER, "weights.py": b"import os"})
    for payload in (honest.payload, {**honest.payload, "files": other}):
        submit(*place.who, kind=IMPORT_JOB, title="import", payload=payload)
        with pytest.raises(Problem, match="no member who may") as told:
            place.work()
        assert told.value.code == "import.forbidden"
    with pytest.raises(Problem, match="no member who may"):
        place.step(replace(honest, payload={**honest.payload, "files": other}))
    assert nothing_is_left(place)
    assert place.step(honest)["version"] == 1


def test_an_allowance_without_code_is_refused_at_once(place: Place) -> None:
    with pytest.raises(Problem, match=r"no model\.py") as told:
        request_import(*place.who, "faces", Wish("faces", kept(place, {"a/model.py": b""}), allow_code=True))
    assert told.value.code == "import.invalid"


@pytest.mark.parametrize(
    ("code", "problem", "told"),
    [
        (b"1 / 0", "model.invalid", "its import raised ZeroDivisionError"),
        (b"def load(folder): raise RuntimeError('no weights')", "model.invalid", "load raised RuntimeError: no weights"),
        (b"raise SystemExit(3)", "model.invalid", "SystemExit"),
        (b"def load(:", "model.invalid", "SyntaxError"),
        (b"\0", "model.invalid", "its import raised"),
        (b"x = 1", "model.invalid", "no function load"),
        (b"def load(folder): return 3", "model.invalid", "no inputs"),
        (TAKES + b"load = lambda folder: Model()", "model.invalid", "no predict"),
        (b"import not_to_be_had.at_all", "model.unavailable", "the module not_to_be_had"),
        (b"import weights", "model.unavailable", r"from \. import weights"),
        (b"from . import gone", "model.invalid", "ImportError"),
        (TAKES + b"    predict = 3\nload = lambda folder: Model()", "model.invalid", "no predict"),
        (TAKES + b"    def predict(self, x): return x\nload = lambda folder: Model()", "model.invalid", "returned a ndarray"),
        (TAKES + b"    def predict(self, x): return {}\nload = lambda folder: Model()", "model.invalid", "gave no 'y'"),
        (
            TAKES + b"    def predict(self, x): return {'y': x * 2.0 + 1j}\nload = lambda folder: Model()",
            "model.invalid",
            "'y' as complex64",
        ),
        (
            TAKES + b"    def predict(self, x): return {'y': x - x.mean()}\nload = lambda folder: Model()",
            "model.invalid",
            "alone",
        ),
        (TAKES + b"    def predict(self, x): return {'y': x[:1]}\nload = lambda folder: Model()", "model.invalid", "5 rows"),
        (
            b"class M:\n    inputs = {'x': 'Float'}\n    outputs = {'y': 'Float32'}\nload = lambda f: M()",
            "dtype.invalid",
            "Float",
        ),
    ],
)
def test_code_that_cannot_be_served_says_why_and_leaves_nothing(place: Place, code: bytes, problem: str, told: str) -> None:
    with pytest.raises(Problem, match=told) as caught:
        brought(place, {**FOLDER, "model.py": code})
    assert caught.value.code == problem
    assert nothing_is_left(place)


def test_a_file_that_is_no_model_leaves_no_empty_model(place: Place) -> None:
    request_import(*place.who, "faces", Wish("m.onnx", kept(place, {"m.onnx": b"none"})))
    with pytest.raises(Problem):
        place.work()
    assert nothing_is_left(place)
    with pytest.raises(Problem) as told:
        request_import(*place.who, "No Name", Wish("m.onnx", kept(place, {"m.onnx": b"none"})))
    assert told.value.code == "model.invalid"


def test_an_unknown_version_is_told_with_a_command_that_there_is(place: Place) -> None:
    with pytest.raises(Problem) as told:
        get_version(*place.who, "late@99")
    assert told.value.next_step == "yard model show late"
