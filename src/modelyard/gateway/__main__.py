"""`python -m modelyard.gateway`: start the gateway's process."""

import os

# One thread each: waking others costs a single row more than it saves, and processes are what scales. Read at import.
os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from modelyard.gateway.process import main

if __name__ == "__main__":
    main()
