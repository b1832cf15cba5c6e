"""A topic kept by Modelyard, in a process of its own: `python -m bench.data.keep_topic URL`."""

import json
import resource
import sys
import time

import modelyard as yard


def main() -> None:
    """Take snapshots until no message waits; print the seconds, rows, versions and the most memory of the process, in MB."""
    [url] = sys.argv[1:]
    flights = yard.project("bench").dataset("flights", source=url)
    began = time.perf_counter()
    versions = 1
    made = flights.snapshot()
    while made.admission is not None and made.admission.waiting:
        versions += 1
        made = flights.snapshot()
    took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"s": took, "rows": made.rows, "sum": made.frame()["id"].sum(), "versions": versions, "mb": peak}))


if __name__ == "__main__":
    main()
