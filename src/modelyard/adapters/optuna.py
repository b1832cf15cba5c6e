"""Optuna's samplers behind the sampler port: our own trial table is replayed into them at each ask."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from modelyard.core import Problem, canonical_json, missing
from modelyard.training import Direction, Space

STARTUP_TRIALS = 6
NAMES = ("tpe", "random", "qmc")
DIRECTIONS = {Direction.MAXIMISE: StudyDirection.MAXIMIZE, Direction.MINIMISE: StudyDirection.MINIMIZE}


class OptunaSampler:
    """Suggestions by one of Optuna's samplers: `tpe`, `random` or `qmc`."""

    def __init__(self, name: str) -> None:
        if name not in NAMES:
            raise missing("sampler", name, NAMES)
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
        """Return `count` parameter sets; see the port.

        Raises
        ------
        Problem
            `trial.invalid` for a tried value that the space does not hold.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        distributions = _distributions(space)
        if self._name == "qmc":  # its points are one sequence: those that were given are passed over
            study = optuna.create_study(
                sampler=_quietly(QMCSampler, seed=seed % 2**32, scramble=True, warn_independent_sampling=False)
            )
            return [_outward(space, study.ask(distributions).params) for _ in range(len(tried) + count)][len(tried) :]
        study = optuna.create_study(direction=DIRECTIONS[direction], sampler=self._sampler(seed, len(tried)))
        for params, value in tried:
            state = TrialState.FAIL if value is None else TrialState.COMPLETE
            kept = _inward(space, params)
            study.add_trial(create_trial(state=state, value=value, params=kept, distributions=distributions))
        return [_outward(space, study.ask(distributions).params) for _ in range(count)]

    def _sampler(self, seed: int, trials: int) -> BaseSampler:
        # Mixed, not added: else the second batch of one seed would be the first of another.
        mixed = int(np.random.SeedSequence([seed % 2**64, trials]).generate_state(1)[0])
        if self._name == "random":
            return RandomSampler(seed=mixed)
        # constant_liar: those asked together keep apart although none has a value yet
        return _quietly(TPESampler, seed=mixed, n_startup_trials=STARTUP_TRIALS, constant_liar=True)


def _quietly(sampler: type[BaseSampler], **arguments: Any) -> BaseSampler:
    """Return a sampler of Optuna's, without its word that an option is experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return sampler(**arguments)


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    found: dict[str, BaseDistribution] = {}
    found |= {name: FloatDistribution(span.low, span.high, log=span.log) for name, span in space.floats.items()}
    found |= {name: IntDistribution(whole.low, whole.high, log=whole.log) for name, whole in space.ints.items()}
    # By their places: Optuna would take True for 1, and has no lists.
    found |= {name: CategoricalDistribution(range(len(one.values))) for name, one in space.choices.items()}
    return dict(sorted(found.items()))


def _inward(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tried set as Optuna knows it."""
    kept: dict[str, Any] = {name: params[name] for name in [*space.floats, *space.ints]}
    for name, choice in space.choices.items():
        texts = [canonical_json(value) for value in choice.values]
        text = canonical_json(params[name])
        if text not in texts:
            raise Problem("trial.invalid", f"A trial had {name} = {text}", f"the space holds {', '.join(texts)}")
        kept[name] = texts.index(text)
    return kept


def _outward(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a suggestion as users write it."""
    return {name: space.choices[name].values[value] if name in space.choices else value for name, value in params.items()}
