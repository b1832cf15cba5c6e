"""A job that makes a version, and is tried again: its worker may have been lost after it had made one."""

from collections.abc import Callable

from modelyard.core import PageRequest
from modelyard.registry import ModelVersion
from modelyard.runner.context import StepContext

LOOKED_AT = 100  # newest versions


def made_before(context: StepContext, model: str, is_it: Callable[[ModelVersion], bool]) -> ModelVersion | None:
    """Return the version that an earlier try of this job made; the model need not be there before its first one."""
    if context.job.attempts <= 1:
        return None
    with context.platform.reading() as tx:
        newest = tx.models.versions(context.project, model, PageRequest(limit=LOOKED_AT)).items
    return next((one for one in newest if one.created_at >= context.job.created_at and is_it(one)), None)
