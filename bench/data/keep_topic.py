"""A topic kept by Modelyard, in a process of its own: `python -m bench.data.keep_topic URL`."""

import json
import resource
import sys
import time

import modelyard as yard


def main() -> None:
    """Follow it until no message waits; print the seconds, rows, versions and the most memory of the process, in MB."""
    [url] = sys.argv[1:]
    flights = yard.project("bench").dataset("flights", source=url)
    began = time.perf_counter()
    for made in flights.follow():
        if made.admission is None or not made.admission.waiting:
            break
    took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"s": took, "rows": made.rows, "sum": made.frame()["id"].sum(), "versions": made.number, "mb": peak}))


if __name__ == "__main__":
    main()
