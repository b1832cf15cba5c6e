"""What every model framework must do. Subclass `FrameworkContract`, give its fixtures, and run it with pytest."""

import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from modelyard.core import Problem
from modelyard.training import Framework

SAME = 1e-6
Features = NDArray[np.float32]


@dataclass(frozen=True)
class Example:
    """A fitted model of the framework, and rows that it answers, shape (n, k)."""

    model: object
    rows: Features


class Marker:
    """An object whose unpickling leaves a folder behind."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, tuple[str]]:
        """Return the call that unpickling makes."""
        return os.mkdir, (str(self.place),)


def rejected(framework: Framework, path: Path) -> str:
    """Return the code with which a file is refused."""
    with pytest.raises(Problem) as told:
        framework.load(path)
    return told.value.code


class FrameworkContract:
    """The promises of a framework. `examples` names `binary`, `classes` (three of them) and `value` (a regression)."""

    @pytest.fixture
    def framework(self) -> Framework:
        """Return the framework under test."""
        raise NotImplementedError

    @pytest.fixture
    def runtime(self) -> Framework:
        """Return the framework that runs ONNX forms."""
        raise NotImplementedError

    @pytest.fixture
    def examples(self, tmp_path: Path) -> Mapping[str, Example]:
        """Return fitted models."""
        raise NotImplementedError

    def test_it_knows_its_own_models_and_no_others(self, framework: Framework, examples: Mapping[str, Example]) -> None:
        assert all(framework.owns(one.model) for one in examples.values())
        for stranger in (None, {}, "model", object(), np.zeros(3), dict):
            assert not framework.owns(stranger)

    def test_answers_have_the_shape_of_their_kind(self, framework: Framework, examples: Mapping[str, Example]) -> None:
        answers = {name: framework.predict(one.model, one.rows) for name, one in examples.items()}
        count = {name: len(one.rows) for name, one in examples.items()}
        assert answers["binary"].shape == (count["binary"],)
        assert answers["classes"].shape == (count["classes"], 3)
        assert answers["value"].shape == (count["value"],)
        assert all(found.dtype == np.float64 for found in answers.values())
        for name in ("binary", "classes"):
            assert ((answers[name] >= 0) & (answers[name] <= 1)).all()
        assert np.allclose(answers["classes"].sum(axis=1), 1, atol=SAME)

    def test_a_row_is_answered_alone_as_among_others(self, framework: Framework, examples: Mapping[str, Example]) -> None:
        for one in examples.values():
            together = framework.predict(one.model, one.rows[:20])
            alone = np.concatenate([framework.predict(one.model, one.rows[place : place + 1]) for place in range(20)])
            assert np.allclose(alone, together, atol=SAME, rtol=0)

    def test_a_kept_model_answers_as_it_did(
        self, framework: Framework, examples: Mapping[str, Example], tmp_path: Path
    ) -> None:
        for name, one in examples.items():
            framework.save(one.model, tmp_path / name)
            again = framework.load(tmp_path / name)
            assert framework.owns(again)
            assert np.array_equal(framework.predict(again, one.rows), framework.predict(one.model, one.rows))

    def test_the_onnx_form_answers_as_the_native_one(
        self, framework: Framework, runtime: Framework, examples: Mapping[str, Example], tmp_path: Path
    ) -> None:
        for name, one in examples.items():
            (tmp_path / name).write_bytes(framework.to_onnx(one.model, one.rows.shape[1]))
            converted = runtime.predict(runtime.load(tmp_path / name), one.rows)
            assert np.allclose(converted, framework.predict(one.model, one.rows), atol=SAME, rtol=0)

    def test_thresholds_are_told_for_each_feature(self, framework: Framework, examples: Mapping[str, Example]) -> None:
        for one in examples.values():
            found = framework.thresholds(one.model, one.rows.shape[1])
            assert len(found) == one.rows.shape[1]
            for values in found:
                assert values.dtype == np.float32
                assert np.array_equal(values, np.unique(values))

    def test_a_file_that_is_no_model_is_refused_and_runs_nothing(self, framework: Framework, tmp_path: Path) -> None:
        file, marker = tmp_path / "hostile", tmp_path / "unpickled"
        for content in (
            b"",
            b"no model",
            b"PK\x03\x04 broken",
            pickle.dumps(Marker(marker)),
            pickle.dumps([Marker(marker)], 0),
        ):
            file.write_bytes(content)
            assert rejected(framework, file) == "model.invalid"
        assert not marker.exists()

    def test_half_a_model_is_refused(self, framework: Framework, examples: Mapping[str, Example], tmp_path: Path) -> None:
        framework.save(examples["binary"].model, tmp_path / "whole")
        content = (tmp_path / "whole").read_bytes()
        (tmp_path / "half").write_bytes(content[: len(content) // 2])
        assert rejected(framework, tmp_path / "half") == "model.invalid"
