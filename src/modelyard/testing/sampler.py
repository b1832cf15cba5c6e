"""What every sampler must do. Subclass `SamplerContract`, give its fixture `sampler`, and run it with pytest."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from modelyard.training import Choice, Direction, Float, Int, Sampler, Space

Tried = list[tuple[Mapping[str, Any], float | None]]
SPACE = Space(
    floats={"rate": Float(0.01, 0.3, log=True), "share": Float(0.5, 0.5)},
    ints={"depth": Int(3, 9)},
    choices={"family": Choice(("boosting", "linear")), "odd": Choice((1, True, None, 1.5, ["a", 2], "1"))},
)


def loss(params: Mapping[str, Any]) -> float:
    """Return a loss that is least at rate 0.1, depth 6 and boosting."""
    off: float = abs(math.log(params["rate"] / 0.1)) + abs(params["depth"] - 6) / 3
    return off + (1.0 if params["family"] == "linear" else 0.0)


def search(
    sampler: Sampler, *, trials: int, seed: int = 1, batch: int = 4, failing: Callable[[int], bool] = lambda n: False
) -> Tried:
    """Return the trials of a whole study, batch by batch; those `failing` have no value."""
    tried: Tried = []
    while len(tried) < trials:
        count = min(batch, trials - len(tried))
        asked = sampler.suggest(SPACE, tried, count=count, seed=seed, direction=Direction.MINIMISE)
        assert len(asked) == count
        tried += [(params, None if failing(len(tried) + n) else loss(params)) for n, params in enumerate(asked)]
    return tried


class SamplerContract:
    """The promises of a sampler."""

    @pytest.fixture
    def sampler(self) -> Sampler:
        """Return the sampler under test."""
        raise NotImplementedError

    def test_each_suggestion_is_of_the_space_with_the_types_of_the_space(self, sampler: Sampler) -> None:
        for params, _ in search(sampler, trials=20):
            assert set(params) == {"rate", "share", "depth", "family", "odd"}
            assert type(params["rate"]) is float
            assert 0.01 <= params["rate"] <= 0.3
            assert params["share"] == 0.5
            assert type(params["depth"]) is int
            assert 3 <= params["depth"] <= 9
            assert params["family"] in ("boosting", "linear")
            assert any(params["odd"] == value and type(params["odd"]) is type(value) for value in SPACE.choices["odd"].values)

    def test_a_suggestion_hangs_on_its_arguments_alone(self, sampler: Sampler) -> None:
        first = search(sampler, trials=12)
        search(sampler, trials=8, seed=9)
        assert search(sampler, trials=12) == first
        later = sampler.suggest(SPACE, first[:8], count=4, seed=1, direction=Direction.MINIMISE)
        assert later == [params for params, _ in first[8:]]

    def test_other_seeds_and_later_batches_suggest_otherwise(self, sampler: Sampler) -> None:
        def rates(seed: int, trials: int) -> list[float]:
            return [params["rate"] for params, _ in search(sampler, trials=trials, seed=seed, failing=lambda n: True)]

        mine, others = rates(0, 8), rates(4, 4)
        assert len(set(mine)) == 8
        assert not set(mine) & set(others), "the second batch of one seed is the first of another"

    def test_failed_trials_are_taken_in(self, sampler: Sampler) -> None:
        assert len(search(sampler, trials=16, failing=lambda n: n % 2 == 0)) == 16
        assert len(search(sampler, trials=8, failing=lambda n: True)) == 8

    @pytest.mark.parametrize("direction", list(Direction))
    def test_both_directions_are_taken(self, sampler: Sampler, direction: Direction) -> None:
        tried = search(sampler, trials=8)
        assert len(sampler.suggest(SPACE, tried, count=3, seed=1, direction=direction)) == 3
