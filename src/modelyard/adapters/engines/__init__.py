"""Engines that run pipelines over sets: this process, Spark, Ray; see `prepare.engine`."""

from importlib.util import find_spec

from modelyard.core import Problem


def need(package: str, extra: str, what: str) -> None:
    """Return when a package is installed. Problem `adapter.unavailable` with the command that installs it."""
    if find_spec(package) is None:
        step = f"pip install 'modelyard[{extra}]'"
        raise Problem("adapter.unavailable", f"{what} needs the package {package}", "it is not installed where jobs run", step)
