"""The one table of what can be plugged in: a port and a URL scheme (or framework name) → where its factory is.

A row's key is `<port>.<name>`; its value is written as an entry point, `module:attribute [extra]`, and imported only when asked
for. Strangers add rows of the same form under the entry point group `modelyard.adapters`; ours go first.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from modelyard.core.problems import Problem, nearest

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from modelyard.adapters.sql import SqlMetadata
    from modelyard.core.objects import ObjectStore
    from modelyard.core.places import Place
    from modelyard.core.traces import Tracer
    from modelyard.data import Source, TableStore
    from modelyard.data.features.online import OnlineStore
    from modelyard.prepare.engine import Engine
    from modelyard.serving.broker import Broker, Link
    from modelyard.training import Compactor, Framework, Sampler

GROUP = "modelyard.adapters"
_CROISSANT = re.compile(r"(?:(?:file|s3|https?)://|/)[^?#]*\.json(?:[?#]|$)", re.IGNORECASE)

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


@dataclass(frozen=True)
class Port(Generic[T_co]):
    """A place to plug into: its word in the table's keys, what a person calls it, and (as a type) what its factories are."""

    name: str
    noun: str


METADATA: "Port[Callable[[str], SqlMetadata]]" = Port("metadata", "metadata database")
OBJECTS: "Port[Callable[[str], ObjectStore]]" = Port("objects", "object store")
PLACES: "Port[Callable[[str], Place]]" = Port("places", "place of files")
LAKE: "Port[Callable[[str], TableStore]]" = Port("lake", "lake")
ONLINE: "Port[Callable[[str], OnlineStore]]" = Port("online", "online store of features")
SOURCES: "Port[Callable[[str], Source]]" = Port("sources", "source")
ENGINE: "Port[Callable[[str], AbstractContextManager[Engine]]]" = Port("engine", "engine")
FRAMEWORK: "Port[Callable[[], Framework]]" = Port("framework", "model framework")
COMPACTOR: "Port[Callable[[], Compactor]]" = Port("compactor", "compactor of models")
BROKER: "Port[Callable[[Link], Broker]]" = Port("broker", "message broker")
SAMPLER: "Port[Callable[[str], Sampler]]" = Port("sampler", "sampler")
LINEAGE: "Port[Callable[[str], Callable[[bytes], None]]]" = Port("lineage", "receiver of OpenLineage events")
TRACER: "Port[Callable[[str], Tracer]]" = Port("tracer", "tracer")

TABLE: Mapping[str, str] = {
    "metadata.sqlite": "modelyard.adapters.sql:SqlMetadata",
    "metadata.postgresql": "modelyard.adapters.sql:SqlMetadata [postgresql]",
    "lake.file": "modelyard.adapters.delta:DeltaLake.from_url",
    "lake.s3": "modelyard.adapters.delta:DeltaLake.from_url",
    "online.sqlite": "modelyard.adapters.online.sqlite:SqliteOnline",
    "online.redis": "modelyard.adapters.online.redis:RedisOnline [redis]",
    "online.rediss": "modelyard.adapters.online.redis:RedisOnline [redis]",
    "sources.file": "modelyard.adapters.files:PlacedSource",
    "sources.s3": "modelyard.adapters.files:PlacedSource",
    "sources.http": "modelyard.adapters.files:DownloadedSource",
    "sources.https": "modelyard.adapters.files:DownloadedSource",
    "sources.croissant": "modelyard.adapters.files:CroissantSource",
    "sources.delta": "modelyard.adapters.delta:DeltaSource",
    "sources.postgresql": "modelyard.adapters.databases.postgresql:PostgresqlSource [postgresql]",
    "sources.sqlite": "modelyard.adapters.databases.sqlite:SqliteSource",
    "sources.mysql": "modelyard.adapters.databases.dialects:DialectSource",
    "sources.mariadb": "modelyard.adapters.databases.dialects:DialectSource",
    "sources.mssql": "modelyard.adapters.databases.dialects:DialectSource",
    "sources.oracle": "modelyard.adapters.databases.dialects:DialectSource",
    "sources.kafka": "modelyard.adapters.kafka:KafkaSource [kafka]",
    "engine.local": "modelyard.adapters.engines.local:open_local",
    "engine.spark": "modelyard.adapters.engines.spark:open_spark [spark]",
    "engine.sc": "modelyard.adapters.engines.spark:open_spark [spark]",
    "engine.ray": "modelyard.adapters.engines.ray:open_ray [ray]",
    "framework.sklearn": "modelyard.adapters.sklearn:SklearnFramework [sklearn]",
    "framework.xgboost": "modelyard.adapters.xgboost:XgboostFramework [xgboost]",
    "framework.lightgbm": "modelyard.adapters.lightgbm:LightgbmFramework [lightgbm]",
    "framework.torch": "modelyard.adapters.torch:TorchFramework [torch]",
    "framework.onnxruntime": "modelyard.adapters.onnx:OnnxFramework",
    "framework.python": "modelyard.adapters.code:CodeFramework",
    "compactor.int8": "modelyard.adapters.int8:Int8Compactor [sklearn]",
    "sampler.tpe": "modelyard.adapters.optuna:OptunaSampler [search]",
    "sampler.random": "modelyard.adapters.optuna:OptunaSampler [search]",
    "sampler.qmc": "modelyard.adapters.optuna:OptunaSampler [search]",
    "broker.kafka": "modelyard.adapters.kafka:KafkaBroker [kafka]",
    "lineage.http": "modelyard.adapters.lineage:HttpReceiver",
    "lineage.https": "modelyard.adapters.lineage:HttpReceiver",
    "lineage.file": "modelyard.adapters.lineage:FileReceiver",
    "tracer.otlp": "modelyard.adapters.otel:OtlpTracer [otel]",
    "objects.file": "modelyard.adapters.file:FileObjects.from_url",
    "objects.s3": "modelyard.adapters.s3:S3Objects.from_url [s3]",
    "places.file": "modelyard.adapters.file:FilePlace.from_url",
    "places.s3": "modelyard.adapters.s3:S3Place.from_url [s3]",
}


def resolve(port: Port[T], name: str) -> T:
    """Return the factory that plugs into `port` under `name`, imported now.

    Raises
    ------
    Problem
        `adapter.missing` for an unknown name, with the nearest suggested; `adapter.unavailable` when a package it needs is not
        installed, with the command that installs it.
    """
    known = {row.name: row for row in _rows(port)}
    row = known.get(f"{port.name}.{name}")
    if row is None:
        raise _unknown(port, name, sorted(key.removeprefix(f"{port.name}.") for key in known))
    try:
        return cast("T", row.load())
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in {"modelyard", row.module.partition(".")[0]}:
            raise
        raise _not_installed(port, name, row, package) from error


def names(port: Port[object]) -> list[str]:
    """Return every name that plugs into `port`, sorted."""
    return sorted({row.name.removeprefix(f"{port.name}.") for row in _rows(port)})


def connect(port: Port[Callable[[str], T]], url: str) -> T:
    """Return what the factory for the scheme of `url` makes of it: `connect(OBJECTS, "s3://bucket/prefix")`.

    Raises
    ------
    Problem
        As `resolve`, and `adapter.invalid` when there is no scheme; a scheme's driver (`postgresql+psycopg`) is not looked at.
    """
    scheme, colon, _ = url.partition(":")
    if not colon or not scheme:
        names = ", ".join(row.name.removeprefix(f"{port.name}.") + ":" for row in _rows(port))
        raise Problem(
            "adapter.invalid", f"'{url}' is no URL of a {port.noun}", "it has no scheme", f"begin it with one of {names}"
        )
    return resolve(port, scheme.partition("+")[0].lower())(url)


def open_source(url: str) -> "Source":
    """Return the source that a URL names; a path or pattern of this machine is one of files. Raises as `connect`.

    A file that ends in `.json` tells of others: it is Croissant's.
    """
    if _CROISSANT.match(url):
        return resolve(SOURCES, "croissant")(url)
    return connect(SOURCES, url) if "://" in url else resolve(SOURCES, "file")(url)


def open_engine(url: str) -> "AbstractContextManager[Engine]":
    """Return the engine that a URL names, or `local`, to be entered. Raises as `connect`."""
    return connect(ENGINE, url) if "://" in url else resolve(ENGINE, url)(url)


def _rows(port: Port[object]) -> Iterator[EntryPoint]:
    prefix = f"{port.name}."
    yield from (row for row in entry_points(group=GROUP) if row.name.startswith(prefix) and row.name not in TABLE)
    yield from (EntryPoint(key, value, GROUP) for key, value in TABLE.items() if key.startswith(prefix))


def _unknown(port: Port[object], name: str, known: list[str]) -> Problem:
    near = nearest(name, known)
    why = f"did you mean '{near[0]}'?" if near else f"there is {', '.join(known)}"
    step = f"to add one, install a package with an entry point in the group {GROUP}"
    return Problem("adapter.missing", f"There is no {port.noun} '{name}'", why, step, {"known": known, "nearest": near})


def _not_installed(port: Port[object], name: str, row: EntryPoint, package: str) -> Problem:
    project = row.dist.name if row.dist else "modelyard"
    wanted = f"{project}[{','.join(row.extras)}]" if row.extras else package
    what = f"The {port.noun} '{name}' needs the package {package}"
    return Problem("adapter.unavailable", what, "it is not installed", f"pip install '{wanted}'", {"package": package})
