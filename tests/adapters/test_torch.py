"""PyTorch's networks under the contract, where PyTorch is installed: it is too large for the development lock."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.adapters.onnx import OnnxFramework
from modelyard.adapters.torch import TorchFramework
from modelyard.core import Problem
from modelyard.testing.framework import Example, FrameworkContract
from modelyard.training import Framework

try:
    import torch
except ImportError:
    torch = None

pytestmark = [
    pytest.mark.cluster,  # too large to be installed for every run
    pytest.mark.skipif(torch is None, reason="PyTorch is not in the development lock: pip install 'modelyard[torch]'"),
]

ROWS = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)


def network(outputs: int, end: Any) -> Any:
    torch.manual_seed(outputs)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Dropout(), torch.nn.Linear(8, outputs), end)


@pytest.fixture(scope="module")
def made() -> Mapping[str, Example]:
    ends = {"binary": (1, torch.nn.Sigmoid()), "classes": (3, torch.nn.Softmax(dim=1)), "value": (1, torch.nn.Identity())}
    return {name: Example(network(outputs, end), ROWS) for name, (outputs, end) in ends.items()}


@pytest.fixture(scope="module")
def one() -> TorchFramework:
    return TorchFramework()


class TestContract(FrameworkContract):
    @pytest.fixture
    def framework(self, one: TorchFramework) -> Framework:
        return one

    @pytest.fixture
    def runtime(self) -> Framework:
        return OnnxFramework()

    @pytest.fixture
    def examples(self, made: Mapping[str, Example]) -> Mapping[str, Example]:
        return made


def test_answers_are_those_of_the_network_in_evaluation_mode(one: TorchFramework, made: Mapping[str, Example]) -> None:
    model = made["binary"].model
    assert isinstance(model, torch.nn.Module)
    told = model.eval()(torch.from_numpy(ROWS)).detach().numpy()[:, 0]
    assert np.allclose(one.predict(model, ROWS), told, atol=1e-6)
    assert one.width(model) == 4


def test_what_is_kept_is_no_pickle_and_needs_no_torch(one: TorchFramework, made: Mapping[str, Example], tmp_path: Path) -> None:
    one.save(made["classes"].model, tmp_path / "model")
    runtime = OnnxFramework()
    found = runtime.predict(runtime.load(tmp_path / "model"), ROWS)
    assert np.array_equal(found, one.predict(made["classes"].model, ROWS))


def test_an_exported_program_is_taken_too(one: TorchFramework) -> None:
    rows = {0: torch.export.Dim("rows", min=1)}
    program = torch.export.export(network(1, torch.nn.Sigmoid()).eval(), (torch.zeros(5, 4),), dynamic_shapes=(rows,))
    assert one.owns(program)
    assert one.predict(program, ROWS).shape == (60,)


@pytest.mark.parametrize("odd", ["no matrix", "branches"])
def test_a_network_that_cannot_be_exported_is_refused(one: TorchFramework, odd: str) -> None:
    class Branches(torch.nn.Module):  # type: ignore[misc]  # untyped where torch is absent
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 1)

        def forward(self, rows: Any) -> Any:
            return self.layer(rows) if rows.sum() > 0 else -self.layer(rows)

    model = torch.nn.ReLU() if odd == "no matrix" else Branches()
    with pytest.raises(Problem) as told:
        one.predict(model, ROWS)
    assert told.value.code == "model.invalid"
