import pytest

from modelyard.adapters.optuna import OptunaSampler
from modelyard.core import Problem
from modelyard.testing.sampler import SPACE, SamplerContract, search
from modelyard.training import Direction, Sampler


class TestTpe(SamplerContract):
    @pytest.fixture
    def sampler(self) -> Sampler:
        return OptunaSampler("tpe")


class TestRandom(SamplerContract):
    @pytest.fixture
    def sampler(self) -> Sampler:
        return OptunaSampler("random")


class TestQmc(SamplerContract):
    @pytest.fixture
    def sampler(self) -> Sampler:
        return OptunaSampler("qmc")


def test_tpe_finds_what_is_better() -> None:
    tried = search(OptunaSampler("tpe"), trials=40)
    values = [value for _, value in tried if value is not None]
    assert sum(values[-10:]) / 10 < sum(values[:10]) / 10
    assert min(values) < 0.5


def test_an_unknown_sampler_is_told_with_the_nearest() -> None:
    with pytest.raises(Problem, match="did you mean 'tpe'"):
        OptunaSampler("tpee")


def test_a_tried_value_outside_the_space_is_told() -> None:
    params, _ = search(OptunaSampler("random"), trials=1, batch=1)[0]
    with pytest.raises(Problem) as told:
        OptunaSampler("tpe").suggest(
            SPACE, [({**params, "family": "forest"}, 0.1)], count=1, seed=0, direction=Direction.MINIMISE
        )
    assert told.value.code == "trial.invalid"
