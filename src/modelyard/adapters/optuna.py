"""Optuna's samplers behind the sampler port: our own trial table is replayed into them at each ask."""

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import TrialState, create_trial

from modelyard.core import missing
from modelyard.training import Direction, Space

STARTUP_TRIALS = 6


class OptunaSampler:
    """Suggestions by one of Optuna's samplers: `tpe`, `random` or `qmc`."""

    def __init__(self, name: str) -> None:
        if name not in ("tpe", "random", "qmc"):
            raise missing("sampler", name, ("tpe", "random", "qmc"))
        self._name = name

    def suggest(
        self,
        space: Space,
        tried: Sequence[tuple[Mapping[str, Any], float | None]],
        *,
        count: int,
        seed: int,
        direction: Direction,
    ) -> list[dict[str, Any]]:
        """Return `count` parameter sets; see the port. The seed is mixed with the number of trials, so each ask is fresh."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        distributions = _distributions(space)
        study = optuna.create_study(direction=direction.value, sampler=self._sampler(seed + len(tried)))
        for params, value in tried:
            kept = {name: _inward(value_) for name, value_ in params.items() if name in distributions}
            state = TrialState.FAIL if value is None else TrialState.COMPLETE
            study.add_trial(create_trial(state=state, value=value, params=kept, distributions=distributions))
        return [
            {name: _outward(value) for name, value in study.ask(distributions).params.items()}
            for _ in range(count)
        ]

    def _sampler(self, seed: int) -> BaseSampler:
        if self._name == "random":
            return RandomSampler(seed=seed)
        if self._name == "qmc":
            return QMCSampler(seed=seed, warn_independent_sampling=False)
        # constant_liar: those asked together keep apart although none has a value yet
        return TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS, constant_liar=True, multivariate=False)


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    found: dict[str, BaseDistribution] = {}
    found |= {name: FloatDistribution(span.low, span.high, log=span.log) for name, span in space.floats.items()}
    found |= {name: IntDistribution(whole.low, whole.high, log=whole.log) for name, whole in space.ints.items()}
    found |= {name: CategoricalDistribution([_inward(v) for v in one.values]) for name, one in space.choices.items()}
    return dict(sorted(found.items()))


def _inward(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _outward(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
