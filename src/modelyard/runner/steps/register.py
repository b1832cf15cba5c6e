"""The job `model.register`: a finished run becomes a version."""

from collections.abc import Mapping

from modelyard.prepare import FittedPipeline, Transform
from modelyard.registry import Evaluation, ModelVersion
from modelyard.registry.service import promote, register
from modelyard.runner.context import StepContext
from modelyard.runner.steps.fitting import dataset_of, load_json, make_part, rows_of, split_rows, version_of, with_features
from modelyard.runner.steps.made_before import made_before
from modelyard.runner.steps.packaging import build_package
from modelyard.training import Run
from modelyard.training.metrics import measure
from modelyard.training.service import get_run, load_trainer


def register_run(context: StepContext) -> Mapping[str, object]:
    """Register the run that the payload names, and move the alias if one was asked for."""
    payload = context.job.payload
    platform, actor, project = context.platform, context.actor, context.project
    run = get_run(platform, actor, project, payload["run"])
    version = made_before(context, payload["model"], lambda one: one.run == run.id) or _register(context, run)
    if payload.get("alias"):
        promote(platform, actor, project, payload["model"], version.number, payload["alias"], cause=f"job:{context.job.id}")
    return {"model": version.model, "version": version.number}


def _register(context: StepContext, run: Run) -> ModelVersion:
    payload = context.job.payload
    platform, actor, project = context.platform, context.actor, context.project
    trainer = load_trainer(platform, actor, project, run.recipe.trainer)
    context.progress(0.1, "read the held-out rows")
    data = version_of(context, run.data)
    _, held_out = split_rows(context, data, run.split, rows_of(context, data))
    [test_rows] = with_features(context, run, trainer, dataset_of(context, data), [held_out])
    fitted = FittedPipeline.from_json(load_json(context, run.artifacts["pipeline"]))
    test = make_part(test_rows, Transform(fitted), fitted, trainer.label)
    framework = platform.framework(run.framework or "")
    path = context.scratch / "registered.model"
    platform.objects.fetch(project, run.artifacts["model"], path)
    model = framework.load(path)
    answers = framework.predict(model, test.X)
    evaluation = Evaluation(
        run=run.id,
        against=None,
        rows=len(test),
        window="held-out test split",
        metric=trainer.metric,
        value=run.metrics[trainer.metric],
        against_value=None,
        metrics=measure(test.y, answers) if answers.ndim == 1 else {},
        against_metrics={},
        at=platform.clock(),
    )
    package = build_package(
        context,
        run,
        trainer,
        data,
        model=model,
        framework=framework,
        fitted=fitted,
        test=test,
        evaluations=[evaluation],
        note=str(payload.get("note") or ""),
    )
    return register(platform, actor, project, payload["model"], package)
