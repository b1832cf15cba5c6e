"""The job `pipeline.run`: a pipeline over a dataset version, its rows stored as a version of another dataset."""

from collections.abc import Mapping
from secrets import token_hex

from modelyard.prepare.stored import Request, Trying, store_prepared
from modelyard.runner.context import StepContext


def run_pipeline(context: StepContext) -> Mapping[str, object]:
    """Run the pipeline that the payload names; a try begins anew, and leaves what a finished one recorded."""
    request = context.asked(Request, "what to prepare", "ask by pipeline.run, or as docs/prepare/engines.md says")
    # A try that was given up may still write, and ends by removing what it wrote: no two tries have one folder.
    trying = Trying(f"{context.job.id}-{token_hex(6)}", context.scratch, context.progress)
    version = store_prepared(context.platform, context.actor, context.project, request, trying)
    return {"version": version.id, "dataset": version.name, "number": version.number, "rows": version.rows}
