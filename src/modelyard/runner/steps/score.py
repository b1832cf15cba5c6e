"""The job `model.score`: all rows of files or of a dataset version, answered by one version into parts."""

from collections.abc import Mapping

import msgspec

from modelyard.core import Place
from modelyard.core.places import below
from modelyard.runner.context import StepContext
from modelyard.serving.batch import ScoreRequest
from modelyard.serving.batch.run import Work, score_all

RECEIPTS = ".scoring"  # beside the objects: a dot is in no project id


def score_rows(context: StepContext) -> Mapping[str, object]:
    """Answer for every row of what the payload names, by the version that it names; a try goes on where the last one was."""
    request = context.asked(ScoreRequest, "what to score", "ask by yard score, or as docs/serving/batch.md says")

    def receipts(key: str) -> Place:
        return context.platform.place(below(context.platform.settings.objects, RECEIPTS, context.project, key))

    work = Work(job=context.job.id, folder=context.scratch, receipts=receipts, progress=context.progress)
    report = score_all(context.platform, context.actor, context.project, request, work)
    told: Mapping[str, object] = msgspec.to_builtins(report)
    return told
