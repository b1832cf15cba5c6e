"""Which engines pipelines may run on: where a list is set, this machine and those that stand on it."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from modelyard.core import Problem
from modelyard.prepare.engine import Engine
from modelyard.wiring.settings import ANY, Settings

LOCAL = "local"


def allowed_engines(
    settings: Settings, open_engine: Callable[[str], AbstractContextManager[Engine]]
) -> Callable[[str], AbstractContextManager[Engine]]:
    """Return what opens an engine by URL, where it may be named.

    Raises
    ------
    Problem
        From what is returned: `engine.forbidden`, and what `open_engine` raises.
    """
    listed = None if settings.engines == ANY else {LOCAL, *map(_bare, settings.engines.replace(",", " ").split())}

    def opened(url: str) -> AbstractContextManager[Engine]:
        if listed is not None and _bare(url) not in listed:
            why = f"{_bare(url)[:200]} is not what this server's setting `engines` lists"
            raise Problem("engine.forbidden", "The pipeline cannot run there", why, "ask who runs it to add it there")
        return open_engine(url)

    return opened


def _bare(url: str) -> str:
    """Return a URL without its options.

    >>> _bare("spark://Lake:7077/?spark.executor.memory=4g")
    'spark://lake:7077'
    """
    return url.partition("?")[0].rstrip("/").lower()
