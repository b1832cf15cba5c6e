"""The command line: noun, then verb."""

import sys


def main() -> None:
    """Run `yard` with the process's arguments."""
    from modelyard.cli.app import app

    sys.exit(app())


__all__ = ["main"]
