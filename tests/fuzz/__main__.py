"""`python -m tests.fuzz`: fuzz the decoders of the gateway's doors with atheris, guided by coverage.

Each target runs in a process of its own, one after another, for its share of the time; what it found worth keeping lies in
`.fuzz/TARGET` for the next run. Bytes that break a decoder are kept in `.fuzz/crash-…`, and the run fails.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn

import atheris

with atheris.instrument_imports(include=["modelyard.gateway", "modelyard.serving", "modelyard.prepare"]):
    from tests.fuzz.targets import Target, seeds, targets

FOLDER = Path(".fuzz")
LARGEST = 4096  # bytes of one try
SLOWEST_S = 5  # of one try: a decoder that takes longer hangs
MOST_MB = 2048


def main() -> int:
    """Fuzz one target, or all of them, and return the exit status."""
    found = targets()
    parser = argparse.ArgumentParser(prog="./dev fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="in all")
    parser.add_argument("--target", choices=sorted(found), help="this one alone")
    options = parser.parse_args()
    wanted = list(found) if options.target is None else [options.target]
    share = max(1, options.seconds // len(wanted))
    broken = []
    for name in wanted:
        child = os.fork()
        if not child:
            fuzz(name, found[name], share)
        _, status = os.waitpid(child, 0)
        if status:
            broken.append(name)
    print(f"fuzzed {len(wanted)} targets for {share} s each; broken: {', '.join(broken) or 'none'}")
    return 1 if broken else 0


def fuzz(name: str, target: Target, seconds: int) -> NoReturn:
    """Fuzz one target. Atheris ends the process, with 0 where nothing broke."""
    kept = FOLDER / name
    kept.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(name)):
        (kept / f"seed-{number}").write_bytes(seed)
    arguments = [
        "tests.fuzz", str(kept), f"-max_total_time={seconds}", f"-max_len={LARGEST}", f"-timeout={SLOWEST_S}",
        f"-rss_limit_mb={MOST_MB}", f"-artifact_prefix={FOLDER}/crash-{name}-", "-verbosity=0", "-print_final_stats=1",
    ]  # fmt: skip
    print(f"\n{name}", flush=True)
    atheris.Setup(arguments, target)
    atheris.Fuzz()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
