"""What one try of a job may use, as people say it."""

import re
from collections.abc import Mapping
from typing import Any, Final

from modelyard.core import Problem
from modelyard.core.spans import span_s
from modelyard.jobs import Limits

_SIZE: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]i?)B?\s*")
_MIB: Final = {
    "K": 1000 / 2**20, "Ki": 1 / 1024, "M": 10**6 / 2**20, "Mi": 1.0, "G": 10**9 / 2**20, "Gi": 1024.0, "T": 10**12 / 2**20,
    "Ti": 1024.0**2,
}  # fmt: skip


def limits_of(resources: Mapping[str, Any]) -> Limits:
    """Return what one try may use: `time` as a span (`1h`), `memory` and `disk` as sizes (`4GiB`). Problem `resources.invalid`.

    >>> limits_of({"time": "1h", "memory": "4GiB"})
    Limits(time_s=3600.0, memory_mb=4096, disk_mb=None)
    """
    unknown = sorted(set(resources) - {"time", "memory", "disk"})
    if unknown:
        why = "a job can be limited in time, memory and disk; workers take one at a time, on all processors of their machine"
        step = 'resources={"time": "1h", "memory": "4GiB"}'
        raise Problem("resources.invalid", f"A job cannot be given '{unknown[0]}'", why, step)
    time = resources.get("time")
    return Limits(
        float(span_s(time)) if time is not None else None,
        *(None if resources.get(name) is None else _size_mb(str(resources[name])) for name in ("memory", "disk")),
    )


def _size_mb(text: str) -> int:
    found = _SIZE.fullmatch(text)
    if not found:
        raise Problem("resources.invalid", f"'{text}' is no size", "it is a number and a unit", 'write it as in "4GiB"')
    return max(1, round(float(found[1]) * _MIB[found[2]]))
