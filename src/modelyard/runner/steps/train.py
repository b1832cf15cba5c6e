"""The job `run.train`: one training from begin to finish."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from modelyard.core import Problem
from modelyard.jobs.rules import problem_to_json, retryable
from modelyard.runner.context import StepContext
from modelyard.runner.steps.fitting import Trained, dataset_of, fit_recipe, rows_of, split_rows, version_of
from modelyard.training import Run, RunState, Trainer
from modelyard.training.documents import environment, to_bytes
from modelyard.training.service import Outputs, begin, end_badly, finish, get_run, load_trainer


def run_training(context: StepContext) -> Mapping[str, object]:
    """Train the run that the payload names, and record what came of it.

    A try whose worker was lost after the run was recorded has nothing left to do.
    """
    platform, actor, project = context.platform, context.actor, context.project
    run = get_run(platform, actor, project, context.job.payload["run"])
    if run.state is not RunState.FINISHED:
        run = begin(platform, actor, project, run.id)
        with ending_badly(context, run):
            trainer = load_trainer(platform, actor, project, run.recipe.trainer)
            context.progress(0.01, "read the rows")
            version = version_of(context, run.data)
            rows = rows_of(context, version)
            frames = split_rows(context, version, run.split, rows)
            dataset = dataset_of(context, version)
            trained = fit_recipe(context, run, trainer, dataset, frames, rows=rows, progress=context.progress)
            run = finish_run(context, run, trainer, trained)
    return {"run": run.id, "metrics": dict(run.metrics)}


@contextmanager
def ending_badly(context: StepContext, run: Run) -> Iterator[None]:
    """Record the run as failed when the block raises a problem that another try would meet again."""
    try:
        yield
    except Problem as problem:
        if not retryable(problem):
            told = problem_to_json(problem)
            end_badly(context.platform, context.actor.member, context.project, run.id, RunState.FAILED, told)
        raise


def finish_run(context: StepContext, run: Run, trainer: Trainer, trained: Trained) -> Run:
    """Record a trained run: the metrics on held-out rows, the artifacts, the environment.

    Raises
    ------
    Problem
        `metric.missing` when the trainer's own metric was neither logged nor is one that every run is measured by.
    """
    platform, actor, project = context.platform, context.actor, context.project
    known = sorted({*get_run(platform, actor, project, run.id).metrics, *trained.metrics})
    if trainer.metric not in known:
        raise Problem(
            "metric.missing",
            f"Run {run.number} has no {trainer.metric}",
            f"the trainer {trainer.name} promises it, and there is {', '.join(known) or 'none'}",
            f"run.log({trainer.metric}=…) in the trainer",
        )
    [described] = platform.objects.put(project, [to_bytes(environment())])
    outputs = Outputs(trained.metrics, trained.artifacts, trained.framework.name, described)
    return finish(platform, actor, project, run.id, outputs)
