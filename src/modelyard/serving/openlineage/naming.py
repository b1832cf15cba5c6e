"""Names of datasets as OpenLineage writes them, so that what others say of a file, a table or a topic meets what we say of it.

https://openlineage.io/docs/spec/naming
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote, urlsplit

from modelyard.core import ProjectId
from modelyard.core.servers import ServerUrl
from modelyard.tenancy import TenancyTransaction

_TOLD: Final = ("delta+", "croissant+")  # before the scheme of where a Delta table or a Croissant file lies
_FILE: Final = "file"


@dataclass(frozen=True)
class DatasetName:
    """What names a dataset anywhere."""

    namespace: str
    name: str

    def folders(self) -> Iterator["DatasetName"]:
        """Give the folders that it lies in, the nearest first.

        >>> [one.name for one in DatasetName("file", "/data/in/january.csv").folders()]
        ['/data/in', '/data']
        """
        above = self.name.rpartition("/")[0]
        while above:
            yield DatasetName(self.namespace, above)
            above = above.rpartition("/")[0]


@dataclass(frozen=True)
class _Database:
    """How a kind of database is named: its word, its port, and the schema of a table that is named without one."""

    word: str
    port: int
    schema: str = ""  # "": it has none, or we cannot know it


_DATABASES: Final[Mapping[str, _Database]] = MappingProxyType(
    {
        "postgresql": _Database("postgres", 5432, "public"),
        "mysql": _Database("mysql", 3306),
        "mariadb": _Database("mysql", 3306),
        "mssql": _Database("mssql", 1433, "dbo"),
        "oracle": _Database("oracle", 1521),
    }
)
_KAFKA_PORT: Final = 9092


def name_of_url(url: str) -> DatasetName | None:
    """Return what OpenLineage calls the rows that a source's URL names: nothing of users, passwords and options is in it.

    None: it is no URL, as what a sender of rows says of them may be none.

    >>> name_of_url("postgresql://ann@db.example/shop?table=orders&secret=SHOP")
    DatasetName(namespace='postgres://db.example:5432', name='shop.public.orders')
    >>> name_of_url("s3://lake/in/*.csv?region=eu"), name_of_url("/data/flights.csv")
    (DatasetName(namespace='s3://lake', name='in/*.csv'), DatasetName(namespace='file', name='/data/flights.csv'))
    """
    try:
        return _named(url) if "://" in url else DatasetName(_FILE, str(Path(url).absolute()))
    except ValueError:
        return None


def own_namespace(tx: TenancyTransaction, project: ProjectId) -> str:
    """Return the namespace of what a project holds: `modelyard://ORGANISATION/PROJECT`."""
    for tenant in tx.tenancy.organisations():
        for one in tx.tenancy.projects(tenant.id):
            if one.id == project:
                return f"modelyard://{tenant.name}/{one.name}"
    return f"modelyard:///{project}"


def dataset_name(namespace: str, dataset: str) -> DatasetName:
    """Return the name of a dataset of ours; its version is told beside it."""
    return DatasetName(namespace, f"dataset/{dataset}")


def model_name(namespace: str, model: str) -> DatasetName:
    """Return the name of a model of ours, which is a dataset to others: something that jobs make and read."""
    return DatasetName(namespace, f"model/{model}")


def features_name(namespace: str, model: str) -> DatasetName:
    """Return the name of the features that a model's preparation makes."""
    return DatasetName(namespace, f"model/{model}/features")


def deployment_name(namespace: str, deployment: str) -> DatasetName:
    """Return the name of what a deployment answers with."""
    return DatasetName(namespace, f"deployment/{deployment}")


def _named(url: str) -> DatasetName:
    scheme = url.partition("://")[0].lower()
    for told in _TOLD:
        scheme = scheme.removeprefix(told)
    scheme = scheme.partition("+")[0]
    if scheme == "sqlite":
        return _sqlite(url)
    if scheme in _DATABASES:
        return _table(_DATABASES[scheme], ServerUrl.parse(url))
    if scheme == "kafka":
        parsed = ServerUrl.parse(url)
        return DatasetName(f"kafka://{next(iter(parsed.servers_at(_KAFKA_PORT)), '')}", parsed.path)
    parts = urlsplit(url)
    if scheme == _FILE:
        return DatasetName(_FILE, unquote(parts.path).rstrip("/") or "/")
    path = unquote(parts.path)
    servers = parts.netloc.rpartition("@")[2].lower()
    return DatasetName(f"{scheme}://{servers}", path.strip("/") if scheme == "s3" else path)


def _table(database: _Database, url: ServerUrl) -> DatasetName:
    server = next(iter(url.servers_at(database.port)), "")
    table = url.options.get("table", "")
    if not table:
        return DatasetName(f"{database.word}://{server}", url.path)  # of a query: the whole database
    named = table if "." in table or not database.schema else f"{database.schema}.{table}"
    return DatasetName(f"{database.word}://{server}", f"{url.path}.{named}")


def _sqlite(url: str) -> DatasetName:
    """Return a table of a file as something that lies below the file: the specification knows no name for it."""
    parsed = ServerUrl.parse(url)
    table = parsed.options.get("table", "")
    return DatasetName(_FILE, f"/{parsed.path.lstrip('/')}" + (f"/{table}" if table else ""))
