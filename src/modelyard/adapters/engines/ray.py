"""Ray: a cluster by the URL of its client port, or the one that runs on this machine."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from logging import ERROR
from pathlib import Path
from urllib.parse import urlsplit

from modelyard.adapters.engines import need
from modelyard.adapters.engines.duck import answer
from modelyard.core import Problem
from modelyard.core.problems import LONGEST_LINE
from modelyard.data.lake_files import LakeFolder
from modelyard.prepare.engine import Engine, Tables, prepare_piece

_WAITING = 64  # pieces that are handed out and not done
_STUMBLED = "Starting Ray client server failed"  # it forks while its threads talk; what it forks next lives
_TRIES = 3


class RayEngine:
    """Each piece a task, tried again where its worker or node was lost; queries by DuckDB in this process."""

    def each(self, work: str, pieces: Sequence[str]) -> Iterator[str]:
        """Have tasks prepare the pieces."""
        import ray

        task = ray.remote(max_retries=3)(prepare_piece)
        with _told():
            kept = ray.put(work)
            left = iter(pieces)
            running = [task.remote(kept, piece) for piece, _ in zip(left, range(_WAITING), strict=False)]
            while running:
                done, running = ray.wait(running)
                running += [task.remote(kept, piece) for piece, _ in zip(left, done, strict=False)]
                yield from ray.get(done)

    def query(self, sql: str, tables: Tables, folder: LakeFolder, scratch: Path) -> None:
        """Ask DuckDB."""
        answer(sql, tables, folder, scratch)


def open_ray(url: str) -> AbstractContextManager[Engine]:
    """Return the engine at `ray://host:10001`, or `ray://auto`: the cluster that this machine is a node of.

    Raises
    ------
    Problem
        `adapter.unavailable` where Ray is not installed. On entering `engine.invalid` for another form; `engine.unavailable`
        where nobody answers.
    """
    need("ray", "ray", "The engine Ray")
    return _cluster(url)


@contextmanager
def _cluster(url: str) -> Iterator[Engine]:
    import ray

    parts = urlsplit(url)
    if not parts.netloc or parts.query or parts.path.strip("/"):
        why, step = "it is a host and a port, without more", "write ray://host:10001, or ray://auto"
        raise Problem("engine.invalid", f"{url.partition('?')[0]} cannot be an engine", why, step)
    with _told():
        _connect("auto" if parts.netloc == "auto" else url)
    try:
        yield RayEngine()
    finally:
        ray.shutdown()


def _connect(address: str) -> None:
    import ray

    for left in reversed(range(_TRIES)):
        try:
            ray.init(address=address, log_to_driver=False, logging_level=ERROR)
        except (ConnectionError, RuntimeError) as error:
            ray.shutdown()
            if not left or _STUMBLED not in str(error):
                raise
        else:
            return


@contextmanager
def _told() -> Iterator[None]:
    import ray

    try:
        yield
    except (ray.exceptions.RayError, ConnectionError, RuntimeError) as error:
        absent = "No module named 'modelyard'" in str(error)
        why = "its workers' Python has no modelyard" if absent else " ".join(str(error).split())[-LONGEST_LINE:]
        step = "install this release of modelyard where they run" if absent else "look whether it runs, and at its log"
        raise Problem("engine.unavailable", "Ray could not do the work", why, step) from error
