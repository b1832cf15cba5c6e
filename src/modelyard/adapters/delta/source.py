"""Delta tables of others as sources, by deltalake and Polars."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from modelyard.adapters.delta.address import DeltaAddress
from modelyard.core import Problem, first_line
from modelyard.data.sources import Ask, Plain, Reading, wanted

_FORBIDDEN: Final = ("403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "Unauthenticated")


class DeltaSource:
    """A Delta table: `delta+file:///data/flights`, `delta+s3://lake/flights?region=…`, at its newest version or at `version=3`.

    A reading is of one version of the table, whatever is written to it meanwhile. Rows have no order of their own.
    """

    reads_on = False
    repeats = False

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        options = parse_qsl(parts.query, keep_blank_values=True)
        versions = [value for name, value in options if name == "version"]
        if len(versions) > 1 or not all(value.isascii() and value.isdigit() for value in versions):
            why = f"its version is {', '.join(versions)}"
            raise Problem(
                "source.invalid", f"The source …{parts.path} cannot be read", why, "name one by its number: version=3"
            )
        rest = urlencode([(name, value) for name, value in options if name != "version"])
        scheme = parts.scheme.removeprefix("delta").removeprefix("+")
        self._address = DeltaAddress.from_url(urlunsplit(parts._replace(scheme=scheme, query=rest)))
        self._version = int(versions[0]) if versions else None

    @contextmanager
    def read(self, ask: Ask) -> Iterator[Reading]:
        """Read the table as it is now."""
        with self._told():
            table = DeltaTable(self._address.target, storage_options=self._address.for_delta)
            version = table.version()
            if self._version is not None and self._version > version:
                what = f"The Delta table at {self._address.location} has no version {self._version}"
                raise Problem("source.missing", what, f"its newest is {version}", "name one that is there")
            version = version if self._version is None else self._version
            found = pl.scan_delta(self._address.target, version=version, storage_options=self._address.for_polars)
            rows = wanted(found, ask)
        with self._told():
            yield Plain(rows)

    @contextmanager
    def _told(self) -> Iterator[None]:
        at = "" if self._version is None else f" at version {self._version}"
        try:
            yield
        except TableNotFoundError as error:
            what = f"There is no Delta table at {self._address.location}{at}"
            raise Problem("source.missing", what, "it has no log", "name the folder that _delta_log is in") from error
        except (DeltaError, OSError, pl.exceptions.PolarsError) as error:
            what, why = f"The Delta table at {self._address.location}{at} cannot be read", first_line(error)
            if any(sign in str(error) for sign in _FORBIDDEN):
                raise Problem("source.forbidden", what, why, "look at the AWS keys of the server's environment") from error
            raise Problem("source.unavailable", what, why, "look whether the store answers and the table is whole") from error
