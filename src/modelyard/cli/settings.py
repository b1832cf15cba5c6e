"""`yard settings`."""

from pathlib import Path

from modelyard.cli.command import Home, Json
from modelyard.cli.output import show


def settings(home: Home = None, as_json: Json = False) -> None:
    """Show each setting, where its value came from, and where else was looked."""
    from modelyard.wiring import read_settings

    found = read_settings(home=Path(home) if home else None)
    show(found.origins, as_json, ["name", "value", "origin", "looked"])
