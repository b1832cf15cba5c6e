"""What a try takes of the disk, and what it leaves to others."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from time import monotonic

from modelyard.core import Problem
from modelyard.jobs import Limits

LEAST_FREE_MB = 512  # of the disk that tries work on; with less, databases and the lake would be the next to fail
LOOK_S = 2.0
MUCH_MB = 64  # a try that holds less is not the one that filled it
_MIB = 1 << 20


def disk_problem(folder: Path, limits: Limits) -> Problem | None:
    """Return why a try has to end for what lies in its folder; None: it may go on."""
    with suppress(OSError):  # the folder goes when the try has ended
        free_mb = shutil.disk_usage(folder).free / _MIB
        if limits.disk_mb is not None or free_mb < LEAST_FREE_MB:
            return _judged(_held_mb(folder), free_mb, limits.disk_mb)
    return None


def _judged(held_mb: float, free_mb: float, limit_mb: int | None) -> Problem | None:
    if limit_mb is not None and held_mb > limit_mb:
        step = "raise its limit (limits.disk_mb), or make the work smaller"
        why = f"{held_mb:.0f} MB lay in its folder, and its limit is {limit_mb} MB"
        detail = {"used_mb": round(held_mb), "limit_mb": limit_mb}
        return Problem("job.too_large", "The job was ended for what it wrote", why, step, detail)
    if free_mb < LEAST_FREE_MB and held_mb > MUCH_MB:
        step = "free space on the disk of the home, or make the work smaller"
        why = f"only {free_mb:.0f} MB of it are left, and {held_mb:.0f} MB lay in the job's folder"
        return Problem("job.limited", "The job was ended, since it fills the disk", why, step, {"used_mb": round(held_mb)})
    return None


def _held_mb(folder: Path) -> float:
    """Return what lies in a folder, of what can be looked at in a moment: the worker has its lease to keep meanwhile."""
    held, until = 0, monotonic() + LOOK_S
    for path, _, names in os.walk(folder):
        for name in names:
            if monotonic() > until:
                return held / _MIB
            with suppress(OSError):  # gone meanwhile
                held += os.lstat(os.path.join(path, name)).st_blocks * 512
    return held / _MIB
