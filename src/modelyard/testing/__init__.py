"""One contract suite per port, shipped: every adapter passes it, ours or a stranger's. Needs pytest."""
