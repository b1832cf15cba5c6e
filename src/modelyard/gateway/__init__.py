"""The inference plane: a process of its own that answers predictions, with or without the control plane."""

import os

# One thread each: waking others costs a single row more than it saves, and processes are what scales. Polars and OpenMP read
# this when they are imported, so it stands where whoever starts or preloads the gateway comes by first.
os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
