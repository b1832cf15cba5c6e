"""The job `model.score`: raw rows in, the same rows with their answers out, both Arrow IPC in the object store."""

from collections.abc import Mapping

import polars as pl

from modelyard.core import Digest, Problem
from modelyard.runner.context import StepContext
from modelyard.serving.score import score


def score_rows(context: StepContext) -> Mapping[str, object]:
    """Answer for every row of the frame that the payload names, with the model version that it names."""
    payload = context.job.payload
    source = context.scratch / "in.arrow"
    context.platform.objects.fetch(context.project, Digest(payload["input"]), source)
    try:
        rows = pl.read_ipc(source)
    except Exception as error:  # Polars raises several kinds for bytes that are no Arrow file
        raise Problem("rows.invalid", "The input is no Arrow IPC file", str(error).splitlines()[0]) from error
    answered = score(
        context.platform,
        context.actor,
        context.project,
        payload["model"],
        rows,
        folder=context.scratch,
        progress=context.progress,
    )
    target = context.scratch / "out.arrow"
    answered.write_ipc(target)
    [digest] = context.platform.objects.put_files(context.project, [target])
    return {"output": digest, "rows": answered.height}
