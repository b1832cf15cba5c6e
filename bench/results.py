"""One form for every benchmark: a row a work, ours beside a peer's, and where the rows are kept."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

KEPT = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Result:
    """One work, timed in both: medians in `metric`; a larger `ratio` is better for us; held by `floor`, wanted at `aim`."""

    work: str
    metric: str
    peer: str
    ours: float
    theirs: float
    ratio: float
    floor: float
    aim: float


def show(name: str, results: Sequence[Result], *, versions: dict[str, str], json_file: Path | None, keep: bool) -> int:
    """Print the rows, keep them with command, versions and machine, and return 1 where a floor is not met."""
    for row in results:
        met = "" if row.ratio >= row.floor else "   BELOW THE FLOOR"
        line = f"{row.work:<40} {row.ours:>10.3f} {row.theirs:>10.3f} {row.metric:<4} {row.peer}: {row.ratio:.1f} x"
        line += f" (floor {row.floor:g}){met}"
        sys.stdout.write(line + "\n")
    rows = [asdict(row) for row in results]
    if json_file is not None:
        json_file.write_text(json.dumps(rows, indent=1) + "\n")
    if keep:
        KEPT.mkdir(exist_ok=True)
        document = {
            "bench": name,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": f"python -m bench.{name} " + " ".join(arg for arg in sys.argv[1:] if not arg.startswith("/")),
            "commit": _commit(),
            "machine": {"system": platform.system(), "machine": platform.machine(), "cores": os.cpu_count()},
            "versions": {"python": platform.python_version(), **versions},
            "results": rows,
        }
        (KEPT / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    return 0 if all(row.ratio >= row.floor for row in results) else 1


def _commit() -> str:
    git = shutil.which("git")
    if git is None:
        return "unknown"
    found = subprocess.run([git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"
