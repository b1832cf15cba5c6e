"""The same works by others: each module runs in an environment of its own, and imports `bench.data.side` alone of ours."""
