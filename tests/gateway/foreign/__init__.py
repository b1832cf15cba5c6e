"""Scripts that run other projects' clients, each in an environment of its own; see `tests/gateway/test_foreign_clients.py`."""
