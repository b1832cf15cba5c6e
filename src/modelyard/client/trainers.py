"""Trainers: a user's function with all that it stands on, ready to be run, searched over and retrained."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from modelyard.client.connection import Connection
from modelyard.client.datasets import Data, DatasetClient, ref_of
from modelyard.client.objects import upload
from modelyard.client.policies import Retrain
from modelyard.client.runs import RunClient
from modelyard.client.search import Search
from modelyard.client.source import describe_source
from modelyard.client.steps import DeclaredPipeline
from modelyard.client.studies import StudyClient
from modelyard.core import Digest, Problem, nearest
from modelyard.core.spans import span_s
from modelyard.data import Split
from modelyard.data.features import Lookup
from modelyard.jobs import Limits
from modelyard.prepare import capture
from modelyard.prepare.fit import refuse_sets
from modelyard.reactions import Retraining
from modelyard.training import Direction, Run, Study, Trainer
from modelyard.training.documents import trainer_to_json

GIVEN: Final = 3  # run, fit, test: what every trainer is called with


class TrainerClient:
    """A declared trainer; called, it is the plain function."""

    def __init__(
        self,
        connection: Connection,
        project: str,
        function: Callable[..., Any],
        *,
        pipeline: DeclaredPipeline,
        label: str,
        metric: str,
        direction: Direction,
        limits: Limits,
        split: Split | None,
        lookups: Sequence[Lookup],
        name: str,
    ) -> None:
        self.__wrapped__ = function
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__
        self.name = name
        refuse_sets(pipeline.sets)
        self.pipeline = pipeline
        self.label = label
        self.metric = metric
        self.direction = direction
        self.limits = limits
        self.split = split
        self.lookups = tuple(lookups)
        self._connection = connection
        self._project = project
        self._dataset: str | None = None

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Return what the function gives."""
        return self.__wrapped__(*arguments, **named)

    def run(
        self, data: Data, *, seed: int = 0, experiment: str | None = None, split: Split | None = None, **params: Any
    ) -> RunClient:
        """Start a run on a dataset version, with parameters of the function, and return at once.

        Parameters
        ----------
        data
            A version; a dataset (its latest version); or `NAME@NUMBER`, `NAME@latest`.
        seed
            For everything random; the function finds it as `run.seed`.
        split
            Which rows to fit and to test on; None: as the trainer was declared.

        Raises
        ------
        Problem
            `params.invalid` for a parameter that the function does not take or that is not JSON; whatever `capture` finds.
        """
        self._check_params(params)
        body = {
            "data": ref_of(data), "params": params, "seed": seed, "experiment": experiment, "split": split,
            **self._send(data),
        }  # fmt: skip
        return RunClient(self._connection, self._project, self._connection.post(f"{self._project}/runs", Run, body))

    def search(
        self, data: Data, space: Search, *, trials: int, seed: int = 0, parallel: int = 4, sampler: str = "tpe"
    ) -> StudyClient:
        """Start a study of so many trials and return at once. Raises as `run`.

        `parallel` trials are suggested at once; what is suggested depends on their results and the seed alone.
        """
        self._check_params({**space.space.floats, **space.space.ints, **space.space.choices})
        body = {
            "data": ref_of(data), "space": space.space, "trials": trials, "seed": seed, "parallel": parallel,
            "sampler": sampler, **self._send(data),
        }  # fmt: skip
        return StudyClient(self._connection, self._project, self._connection.post(f"{self._project}/studies", Study, body))

    def retrain(
        self,
        data: str = "latest",
        *,
        dataset: str | DatasetClient | None = None,
        held_back: str = "7d",
        history: str | None = None,
    ) -> Retrain:
        """Return the action of a policy that trains the champion's recipe anew, for `on(…).do(…)`.

        Parameters
        ----------
        data
            `latest`: the dataset is first grown by the labelled predictions.
        dataset
            Which dataset; None: the one that this trainer was last run on here.
        held_back
            The newest labelled stretch: the recipe is judged on it beside the champion, then fitted again with it included.
        history
            Fit on this much before that; None: on all.
        """
        if data != "latest":
            raise Problem(
                "retraining.invalid", f"Retraining cannot be on '{data}'", "it is on the latest rows", 'data="latest"'
            )
        name = dataset.name if isinstance(dataset, DatasetClient) else dataset or self._dataset
        if name is None:
            why = f"{self.name} was not run on one in this script"
            raise Problem("retraining.invalid", "On which dataset is it to be retrained?", why, 'retrain(dataset="…")')
        return Retrain(Retraining(name, span_s(held_back), None if history is None else span_s(history)))

    def build(self) -> Trainer:
        """Return the trainer with the function's code as it is now."""
        return Trainer(
            name=self.name,
            code=capture(self.__wrapped__),
            pipeline=self.pipeline.build(),
            label=self.label,
            metric=self.metric,
            direction=self.direction,
            split=self.split,
            limits=self.limits,
            checks=self.pipeline.checks,
            lookups=self.lookups,
        )

    def _send(self, data: Data) -> dict[str, Digest]:
        """Keep the trainer and the source on the server, and return their digests."""
        self._dataset = ref_of(data).partition("@")[0]
        document = trainer_to_json(self.build())
        answer = self._connection.post(f"{self._project}/trainers", dict[str, Digest], document)
        [source] = upload(self._connection, self._project, [describe_source(self.__wrapped__)])
        return {"trainer": answer["digest"], "source": source}

    def _check_params(self, params: Mapping[str, Any]) -> None:
        taken = list(inspect.signature(self.__wrapped__).parameters.values())[GIVEN:]
        if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken):
            return
        names = [one.name for one in taken]
        for name in params:
            if name not in names:
                near = nearest(name, names)
                why = f"did you mean '{near[0]}'?" if near else f"it takes {', '.join(names) or 'none'}"
                raise Problem("params.invalid", f"The trainer {self.name} takes no parameter '{name}'", why)
        needed = [one.name for one in taken if one.default is inspect.Parameter.empty and one.name not in params]
        if needed:
            why = f"{self.name} has no default for it"
            raise Problem("params.invalid", f"The parameter '{needed[0]}' is not given", why, f"say {needed[0]}=…")
