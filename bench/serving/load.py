"""Load by wrk, and what a server's processes took for it."""

import json
import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

SCRIPT = """
local requests, turn = {}, 0
function init(arguments)
  wrk.headers["Content-Type"] = "application/json"
  local lines = io.lines(arguments[1])
  local authorization = lines()
  if authorization ~= "" then wrk.headers["Authorization"] = authorization end
  for line in lines do requests[#requests + 1] = wrk.format("POST", nil, nil, line) end
end
function request()
  turn = turn % #requests + 1
  return requests[turn]
end
function done(summary, latency)
  local e = summary.errors
  io.stdout:write(string.format('\\n{"requests":%d,"micros":%d,"p50":%d,"p99":%d,"refused":%d,"broken":%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status, e.connect + e.read + e.write + e.timeout))
end
"""


@dataclass(frozen=True)
class Target:
    """Where the load goes, and the processes that answer it."""

    title: str
    url: str
    authorization: str
    process: psutil.Process
    pausable: bool = True  # False: it takes being held still for a fault of its parts, and idles instead

    def family(self) -> list[psutil.Process]:
        """Return the server's processes."""
        return [self.process, *self.process.children(recursive=True)]

    def pause(self) -> None:
        """Stop all of them, until `go_on`."""
        for one in self.family() if self.pausable else ():
            one.suspend()

    def go_on(self) -> None:
        """Let them run."""
        for one in self.family()[::-1] if self.pausable else ():
            one.resume()

    def cpu_s(self) -> float:
        """Return the processor seconds that they have taken so far."""
        return sum(sum(one.cpu_times()[:2]) for one in self.family())

    def memory_mb(self) -> float:
        """Return their memory, shared pages counted in shares (PSS)."""
        return float(sum(one.memory_full_info().pss for one in self.family())) / 2**20


@dataclass(frozen=True)
class Measured:
    """One stretch of load."""

    requests_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float  # of the server, a request


def wrk() -> str:
    """Return the load generator, installed from the system's packages where it is not there and may be."""
    if found := shutil.which("wrk"):
        return found
    apt = shutil.which("apt-get")
    if apt and os.geteuid() == 0:
        for arguments in (["update", "-qq"], ["install", "-y", "-qq", "wrk"]):
            subprocess.run([apt, *arguments], check=False, capture_output=True)
    if found := shutil.which("wrk"):
        return found
    raise SystemExit("wrk is not on the path, and could not be installed. Next: install the package wrk (apt-get install wrk)")


def press(target: Target, bodies: Sequence[bytes], *, connections: int, seconds: int) -> Measured:
    """Ask as fast as it answers, by turns with each of `bodies`, and return what came of it.

    An answer outside 2xx, or none, ends the run: nothing that fails is timed.
    """
    with tempfile.TemporaryDirectory() as folder:
        script, asked = Path(folder, "script.lua"), Path(folder, "bodies")
        script.write_text(SCRIPT)
        asked.write_bytes(b"\n".join([target.authorization.encode(), *bodies]) + b"\n")
        command = [wrk(), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-s", str(script), target.url, "--"]
        before = target.cpu_s()
        done = subprocess.run([*command, str(asked)], capture_output=True, text=True, check=False)
        cpu_s = target.cpu_s() - before
    if done.returncode:
        raise SystemExit(f"wrk against {target.title} ended with {done.returncode}: {done.stderr.strip()[:300]}")
    told = json.loads(done.stdout.splitlines()[-1])
    if told["refused"] or told["broken"] or not told["requests"]:
        counted = f"{told['refused']} answers were refusals, {told['broken']} were none, of {told['requests']}"
        raise SystemExit(f"{target.title} failed under load: {counted}")
    return Measured(
        requests_s=told["requests"] / told["micros"] * 1e6,
        p50_ms=told["p50"] / 1e3,
        p99_ms=told["p99"] / 1e3,
        cpu_ms=cpu_s / told["requests"] * 1e3,
    )


def median(stretches: Sequence[Measured]) -> Measured:
    """Return the median of each figure."""
    return Measured(
        requests_s=statistics.median(one.requests_s for one in stretches),
        p50_ms=statistics.median(one.p50_ms for one in stretches),
        p99_ms=statistics.median(one.p99_ms for one in stretches),
        cpu_ms=statistics.median(one.cpu_ms for one in stretches),
    )
