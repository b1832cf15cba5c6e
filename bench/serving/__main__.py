"""Time our gateway beside model servers: `python -m bench.serving [--quick] [--only WORK] [--peers NAMES] [--json FILE]`.

Every server has one worker, ONNX Runtime on one thread, and an environment of its own in the user's cache. The same model
stands behind each, and is checked to answer alike before anything is timed. Servers are timed in turns, and held still
(SIGSTOP) while another one is; those that die of it idle. Ours is `yard up` as users have it, ledger and metrics on. The load
comes from wrk on the same machine.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from bench.results import Result, show, write
from bench.serving.batch import SPARK
from bench.serving.contenders import Stage, say
from bench.serving.load import wrk
from bench.serving.models import make
from bench.serving.ours import up
from bench.serving.peers import Peer, peers
from bench.serving.works import FULL, QUICK, WORKS, Bench


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.serving", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="2 rounds of 2 s instead of 5 of 5 s")
    parser.add_argument("--only", metavar="WORK", help=f"works, with commas between: {', '.join(WORKS)}")
    parser.add_argument("--peers", metavar="NAMES", help=f"peers, with commas between: {', '.join(peers())}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE")
    options = parser.parse_args(arguments)
    works = chosen(parser, options.only, list(WORKS))
    beside = {name: peers()[name] for name in chosen(parser, options.peers, list(peers()))}
    wrk()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda told, _: sys.exit(128 + told))  # so that every server is ended
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder:
        results, left_out = measure(Path(folder), works, beside, quick=options.quick, json_file=options.json)
    for what, why in left_out.items():
        say(f"left out: {what}: {why}")
    versions = {name: peer.release for name, peer in beside.items() if name not in left_out}
    versions |= {name: version(name) for name in ("onnxruntime", "scikit-learn", "uvicorn")}
    versions |= {"pyspark": SPARK} if "batch" in works else {}
    whole = options.only is None and options.peers is None and not options.quick
    return show("serving", results, versions=versions, json_file=options.json, keep=whole)


def measure(
    folder: Path, works: Sequence[str], beside: dict[str, Peer], *, quick: bool, json_file: Path | None
) -> tuple[list[Result], dict[str, str]]:
    """Return the results of the works, and what was left out with the reason. Each work's are told, and written, at once."""
    home = folder / "home"
    say("training and registering the models")
    with up(home, workers=1) as yard:
        made, token = make(yard.project(), folder), yard.token
    results: list[Result] = []
    with up(home, workers=0, token=token) as yard:
        made = made.at(yard.project())
        stage = Stage(yard, folder)
        try:
            bench = Bench(stage, made, beside, QUICK if quick else FULL)
            for name in works:
                say(f"{name} …")
                for found in WORKS[name](bench):
                    results.append(found)
                    say(found.line)
                if json_file is not None:
                    write(json_file, results)
        finally:
            stage.close()
    return results, stage.left_out


def chosen(parser: argparse.ArgumentParser, told: str | None, known: Sequence[str]) -> list[str]:
    """Return the names that were told, all known ones for none."""
    names = list(known) if told is None else told.split(",")
    for name in names:
        if name not in known:
            parser.error(f"there is no '{name}'; there are {', '.join(known)}")
    return names


if __name__ == "__main__":
    raise SystemExit(main())
