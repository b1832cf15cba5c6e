"""What the URL of a database's rows says: where they are, which ones, and by which column they are read on."""

import os
import re
from dataclasses import dataclass, field
from typing import Final

from modelyard.core import Problem
from modelyard.core.secrets import Credentials, credentials
from modelyard.core.servers import ServerUrl

_OURS: Final = frozenset({"table", "query", "watermark", "secret"})
_SECRET: Final = re.compile(r"passw|pwd|secret|token|private", re.IGNORECASE)
_PART: Final = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')
_FORM: Final = "?table=NAME, ?table=SCHEMA.NAME or ?query=SELECT …"


@dataclass(frozen=True)
class Address:
    """One database, and the rows wanted of it: a table (or view), or what a query gives."""

    url: ServerUrl
    table: tuple[str, ...]  # (name,) or (schema, name); empty: a query
    query: str
    watermark: str
    secret: str
    options: dict[str, str] = field(repr=False)  # the driver's

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Return what a URL says.

        A table's name is written as it is, in the same upper and lower case; in double quotes where it has a dot or a quote
        (which is doubled): `table="my.schema"."a ""quoted"" table"`.

        Raises
        ------
        Problem
            `source.invalid`.
        """
        try:
            parsed = ServerUrl.parse(url)
        except ValueError as error:
            scheme = url.partition("://")[0][:20]
            raise Problem("source.invalid", f"A URL of {scheme} cannot be read", str(error), f"end it as {_FORM}") from error
        if parsed.password is not None or any(_SECRET.search(name) for name in parsed.options if name not in _OURS):
            raise invalid(
                parsed.place,
                "a password in its URL would be shown to everybody who sees the dataset",
                "leave it out, and write secret=NAME: the server's variable MODELYARD_SECRET_NAME holds it",
            )
        said = {name: parsed.options.get(name, "") for name in _OURS}
        query = said["query"].strip().rstrip("; \t\n")
        if bool(said["table"]) == bool(query):
            raise invalid(parsed.place, "it names no rows" if not said["table"] else "it names both", f"end it as {_FORM}")
        options = {name: value for name, value in parsed.options.items() if name not in _OURS}
        table = _names(said["table"], parsed.place) if said["table"] else ()
        return cls(parsed, table, query, said["watermark"], said["secret"], options)

    @property
    def told(self) -> str:
        """The rows as people are told of them."""
        return f"{self.url.place}, {self.rows}"

    @property
    def rows(self) -> str:
        """The table's name, or that it is a query."""
        return f"table {'.'.join(self.table)}" if self.table else "the query"

    def credentials(self, default_port: int) -> Credentials | None:
        """Return what the secret holds for the server; None: the URL names none. Raises as `core.secrets.credentials`."""
        return credentials(self.secret, self.url, default_port, os.environ) if self.secret else None


def invalid(place: str, why: str, step: str) -> Problem:
    """Return the problem of a source that cannot be read as it is named, or as it lies there."""
    return Problem("source.invalid", f"The source {place} cannot be read", why, step)


def refuse_options(address: Address, refused: list[str], why: str, step: str) -> None:
    """Raise Problem `source.invalid` where options are said that are not the URL's to say."""
    if refused:
        raise invalid(address.told, f"'{sorted(refused)[0][:80]}' {why}", step)


def _names(text: str, place: str) -> tuple[str, ...]:
    names, at = [], 0
    while found := _PART.match(text, at):
        names.append(found[1].replace('""', '"') if found[1] else found[2])
        at = found.end()
        if at == len(text) and len(names) <= len(("schema", "name")):
            return tuple(names)
        if text[at : at + 1] != ".":
            break
        at += 1
    why = "its table is no name, and no SCHEMA.NAME"
    raise invalid(place, why, 'write a name with a dot or a quote in double quotes: table="my.table"')
