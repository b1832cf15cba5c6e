"""One object that holds every adapter: what the services know as their ports."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from modelyard.adapters import (
    COMPACTOR,
    FRAMEWORK,
    METADATA,
    OBJECTS,
    ONLINE,
    PLACES,
    SAMPLER,
    connect,
    open_engine,
    open_source,
    resolve,
)
from modelyard.core import Clock, FileClock, IdMaker, ObjectStore, Place, Problem, system_clock
from modelyard.core.files import turn
from modelyard.data import Source, TableStore
from modelyard.data.features.online import OnlineStore
from modelyard.prepare.engine import Engine
from modelyard.reactions import Metadata, ReactionTransaction
from modelyard.training import Compactor, Framework, Sampler
from modelyard.wiring.engine_rules import allowed_engines
from modelyard.wiring.lake import open_lake
from modelyard.wiring.settings import Settings
from modelyard.wiring.source_rules import allowed_sources


@dataclass(frozen=True)
class Platform:
    """Every port, filled. The only place that knows which adapters are behind them."""

    settings: Settings
    clock: Clock
    ids: IdMaker
    metadata: Metadata
    objects: ObjectStore
    lake: TableStore
    online: Callable[[], OnlineStore]  # opened by the first call
    source: Callable[[str], Source]  # by URL: file:///…, s3://…, https://…, postgresql://…, kafka://…
    engine: Callable[[str], AbstractContextManager[Engine]]  # by URL: local, spark://…, sc://…, ray://…
    framework: Callable[[str], Framework]  # by name: sklearn, onnxruntime
    compactor: Callable[[str], Compactor]  # by name: int8
    sampler: Callable[[str], Sampler]  # by name: tpe, random, qmc
    place: Callable[[str], Place]  # by URL: file:///…, s3://…
    ends: ExitStack  # closes what was opened on the way

    def transaction(self) -> AbstractContextManager[ReactionTransaction]:
        """Open a transaction over all stores; inside another one of the same thread, join it."""
        return self.metadata.transaction()

    def reading(self) -> AbstractContextManager[ReactionTransaction]:
        """Open a transaction that only reads, and waits for nobody; those inside it join it."""
        return self.metadata.reading()

    def turn(self, name: str) -> AbstractContextManager[None]:
        """Wait for others on this machine that are in a turn of this name; see `core.files.turn`."""
        return turn(self.settings.home / "turns" / name)

    def close(self) -> None:
        """Give back what is held."""
        self.ends.close()
        self.metadata.close()


def open_platform(settings: Settings) -> Platform:
    """Return the platform that `settings` describe, its database upgraded.

    Raises
    ------
    Problem
        `adapter.missing` for an unknown URL scheme, `adapter.unavailable` when its package is not installed.
    """
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    clock = open_clock(settings.clock)
    metadata: Metadata = connect(METADATA, settings.metadata)
    metadata.upgrade()
    ends = ExitStack()
    return Platform(
        settings=settings,
        clock=clock,
        ids=IdMaker(system_clock),
        metadata=metadata,
        objects=connect(OBJECTS, settings.objects),
        lake=open_lake(settings.lake, lambda: metadata.hold),
        online=online_of(settings, ends),
        source=allowed_sources(settings, open_source),
        engine=allowed_engines(settings, open_engine),
        framework=lambda name: resolve(FRAMEWORK, name)(),
        compactor=lambda name: resolve(COMPACTOR, name)(),
        sampler=lambda name: resolve(SAMPLER, name)(name),
        place=lambda url: connect(PLACES, url),
        ends=ends,
    )


def online_of(settings: Settings, ends: ExitStack) -> Callable[[], OnlineStore]:
    """Return what opens the online store, once: most processes never look anything up. It is closed with `ends`."""
    return cache(lambda: ends.enter_context(closing(connect(ONLINE, settings.online))))


def open_clock(url: str) -> Clock:
    """Return the clock that a setting names: `system`, or a file that a replay moves on."""
    if url == "system":
        return system_clock
    parts = urlsplit(url)
    if parts.scheme != "file":
        raise Problem("settings.invalid", f"The clock '{url}' is not known", "it is `system` or a file:// URL", "yard settings")
    return FileClock(Path(url2pathname(parts.path)))
