"""The job `run.train`: one training from begin to finish."""

from collections.abc import Mapping

from modelyard.core import Problem, ProblemKind
from modelyard.runner.context import StepContext
from modelyard.runner.steps.fitting import Trained, dataset_of, fit_recipe, rows_of, split_rows, version_of
from modelyard.training import Run, RunId, RunState, Trainer
from modelyard.training.documents import environment, to_bytes
from modelyard.training.service import Outputs, begin, end_badly, finish, load_trainer


def run_training(context: StepContext) -> Mapping[str, object]:
    """Train the run that the payload names, and record what came of it."""
    run = begin(context.platform, context.actor, context.project, RunId(context.job.payload["run"]))
    trainer = load_trainer(context.platform, context.actor, context.project, run.recipe.trainer)
    context.progress(0.01, "read the rows")
    version = version_of(context, run.data)
    frames = split_rows(context, version, run.split, rows_of(context, version))
    try:
        trained = fit_recipe(context, run.id, trainer, run.recipe, frames, dataset_of(context, version).key, context.progress)
    except Problem as problem:
        if problem.kind in (ProblemKind.FAILED, ProblemKind.INVALID, ProblemKind.MISSING, ProblemKind.REFUSED):
            told = {
                "code": problem.code,
                "what": problem.what,
                "why": problem.why,
                "next_step": problem.next_step,
                "detail": problem.detail,
            }
            end_badly(context.platform, context.actor.member, context.project, run.id, RunState.FAILED, told)
        raise
    finished = finish_run(context, run, trainer, trained)
    return {"run": finished.id, "metrics": dict(finished.metrics)}


def finish_run(context: StepContext, run: Run, trainer: Trainer, trained: Trained) -> Run:
    """Record a trained run: the metrics on held-out rows, the artifacts, the environment.

    Raises
    ------
    Problem
        `metric.missing` when the trainer's own metric was neither logged nor is one that every run is measured by.
    """
    [described] = context.platform.objects.put(context.project, [to_bytes(environment())])
    outputs = Outputs(trained.metrics, trained.artifacts, trained.framework.name, described)
    finished = finish(context.platform, context.actor, context.project, run.id, outputs)
    if trainer.metric not in finished.metrics:
        raise Problem(
            "metric.missing",
            f"Run {run.number} has no {trainer.metric}",
            f"the trainer {trainer.name} promises it and logged {', '.join(sorted(finished.metrics)) or 'nothing'}",
            f"run.log({trainer.metric}=…) in the trainer",
        )
    return finished
