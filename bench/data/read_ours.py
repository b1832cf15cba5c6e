"""One reading by Modelyard, in a process of its own: `python -m bench.data.read_ours URL TABLE`."""

import json
import resource
import sys
import time

import polars as pl

from modelyard.adapters import open_source
from modelyard.data.sources import Ask


def main() -> None:
    """Read the whole table into one frame; print its shape, the seconds it took and the most memory of the process, in MB."""
    url, table = sys.argv[1:]
    source = open_source(f"{url}?table={table}")
    began = time.perf_counter()
    with source.read(Ask()) as reading:
        frame = pl.concat(list(reading.frames))
    took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"shape": frame.shape, "s": took, "mb": peak, "id": frame["id"].sum()}))


if __name__ == "__main__":
    main()
