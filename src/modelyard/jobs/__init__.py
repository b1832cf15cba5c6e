"""Background work: jobs, leases, schedules, progress, logs."""

from modelyard.jobs.store import JobStore, JobTransaction
from modelyard.jobs.types import Job, JobId, JobState, Lease, Limits, LogLine, Progress, Schedule

__all__ = ["Job", "JobId", "JobState", "JobStore", "JobTransaction", "Lease", "Limits", "LogLine", "Progress", "Schedule"]
