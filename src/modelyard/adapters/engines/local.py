"""The engine that is always there: pieces one after another in this process, queries by DuckDB."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from modelyard.adapters.engines.duck import answer
from modelyard.core import Problem
from modelyard.data.lake_files import LakeFolder
from modelyard.prepare.engine import Engine, Tables, prepare_piece


class LocalEngine:
    """Pieces one at a time, each with all cores of Polars: memory is bounded by a piece."""

    def each(self, work: str, pieces: Sequence[str]) -> Iterator[str]:
        """Prepare each piece in turn."""
        return (prepare_piece(work, piece) for piece in pieces)

    def query(self, sql: str, tables: Tables, folder: LakeFolder, scratch: Path) -> None:
        """Ask DuckDB."""
        answer(sql, tables, folder, scratch)


def open_local(url: str) -> AbstractContextManager[Engine]:
    """Return the engine, which `local` names. Problem `engine.invalid` for anything more."""
    if url != "local":
        raise Problem("engine.invalid", f"{url[:200]} names no engine", "here is `local`, without more", "say on='local'")
    return nullcontext(LocalEngine())
