"""`python -m bench.data.lake_kills file:///tmp/lake --kills 100`: kill -9 amid appends and vacuums, and look for losses.

A lake in S3 is named as in MODELYARD_LAKE, with its keys in the AWS environment. Ends with an error at the first acknowledged
row that is lost, dropped one that is back, or table that cannot be read or written any more.
"""

import argparse
import sys
from functools import partial
from secrets import token_hex
from time import perf_counter

from modelyard.adapters.delta import DeltaLake
from modelyard.testing.table_kills import churned


def main() -> None:
    """Kill, look, and print how often each deed was hit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lake", help="its URL")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--within", type=float, default=0.5, help="seconds in which a process is killed")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    began = perf_counter()
    table = f"kills/{token_hex(6)}"
    found = churned(partial(DeltaLake.from_url, asked.lake), asked.kills, seed=asked.seed, within_s=asked.within, table=table)
    hit = f"{found.in_append} in an append, {found.in_vacuum} in a vacuum, {found.untold} of them after it was done"
    took = f"{perf_counter() - began:.0f} s"
    sys.stdout.write(
        f"{found.kills} kills ({hit}), {found.next} commits: nothing lost, nothing back, no table broken; {took}\n"
    )


if __name__ == "__main__":
    main()
