"""One reading by pandas, in its own environment: `python read_pandas.py URL TABLE`. Prints what `read_ours` prints."""

import json
import resource
import sys
import time

import pandas as pd
import sqlalchemy as sa


def main() -> None:
    """Read the whole table into one frame."""
    url, table = sys.argv[1:]
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    began = time.perf_counter()
    frame = pd.read_sql(f"SELECT * FROM {table}", engine)  # noqa: S608 - the benchmark's own table
    took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"shape": frame.shape, "s": took, "mb": peak, "id": int(frame["id"].sum())}))


if __name__ == "__main__":
    main()
