"""The job `dataset.snapshot`: what is new in a dataset's source becomes a version.

No code of users runs here, so this is the one kind of job that is given the secrets of sources.
"""

import tempfile
from collections.abc import Mapping

from modelyard.data.snapshot_jobs import SnapshotRequest, told_admission
from modelyard.data.snapshots import snapshot
from modelyard.runner.context import StepContext


def take_snapshot(context: StepContext) -> Mapping[str, object]:
    """Take the snapshot that the payload asks for.

    A version is recorded in one transaction with the source's bookmark: a try whose worker was lost left all of it or nothing,
    and the next one takes what is new beyond that.
    """
    request = context.asked(SnapshotRequest, "what to take", "ask by yard dataset snapshot, or as docs/data/sources.md says")
    # What a source copies lies in the try's folder: it goes with the try, however that ends, and its limit of disk counts it.
    tempfile.tempdir = str(context.scratch)
    admission = snapshot(
        context.platform,
        context.actor,
        context.project,
        request.dataset,
        since=request.since,
        until=request.until,
        replacing=request.replacing,
        note=request.note,
        progress=context.progress,
    )
    return told_admission(request.dataset, admission)
