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

    @property
    def line(self) -> str:
        """The row for people."""
        met = "" if self.ratio >= self.floor else "   BELOW THE FLOOR"
        found = f"{self.work:<40} {self.ours:>10.3f} {self.theirs:>10.3f} {self.metric:<5} {self.peer}: {self.ratio:.3g} x"
        return f"{found} (floor {self.floor:.3g}){met}"


def write(file: Path, results: Sequence[Result]) -> None:
    """Write the rows as JSON."""
    file.write_text(json.dumps([asdict(row) for row in results], indent=1) + "\n")


def show(name: str, results: Sequence[Result], *, versions: dict[str, str], json_file: Path | None, keep: bool) -> int:
    """Print the rows, keep them with command, versions and machine, and return 1 where a floor is not met."""
    for row in results:
        sys.stdout.write(row.line + "\n")
    rows = [asdict(row) for row in results]
    if json_file is not None:
        write(json_file, results)
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
