"""What PostgreSQL's errors mean to whoever reads a source."""

import re
from typing import Final

from adbc_driver_manager import Error

from modelyard.adapters.databases.address import Address
from modelyard.core import Problem, first_line
from modelyard.core.servers import host_and_port

PORT: Final = 5432
_SEVERITY: Final = re.compile(r"(?:ERROR|FATAL|PANIC):\s+(.*)")
_PREFIX: Final = re.compile(r"^(?:[A-Z_]+: )?(?:C Data interface error: )?(?:\[libpq\] )?(?:Failed to connect: )?")
_FORBIDDEN: Final = re.compile(
    r"authentication failed|no password supplied|pg_hba\.conf|role .* does not exist|permission denied|not permitted"
)
# By appendix A of PostgreSQL's manual; a state begins so. What is not here lies in the rows or in the query.
_STATES: Final = (
    ("42P01", "source.missing", "look at the names in the query"),
    ("42501", "source.forbidden", "let the user read it: GRANT SELECT ON … TO …"),
    ("28", "source.forbidden", "let the user in, or name the secret of another one"),
    ("25006", "source.invalid", "a query reads: write one SELECT"),
    ("22", "source.invalid", "mend the values, or leave the row out with query="),
)
_AWAY: Final = ("08", "40", "53", "55", "57", "58", "XX")


def refused(error: Error, address: Address) -> Problem:
    """Return the problem of a connection that did not come about. libpq gives no state here, only words."""
    said = said_of(str(error))
    if "database" in said and said.endswith("does not exist"):
        what = f"There is no database {address.url.path} at {_server(address)}"
        return Problem("source.missing", what, said, "look at the URL")
    if _FORBIDDEN.search(said):
        step = "name the server's secret for it (secret=NAME), or put the password into ~/.pgpass of the server's user"
        return Problem("source.forbidden", f"{_server(address)} does not let us in", said, step)
    return unavailable(address, said)


def problem_of(error: Error, address: Address) -> Problem:
    """Return the problem of a statement that failed."""
    state, said = error.sqlstate or "", said_of(str(error))
    if not state or state.startswith(_AWAY):
        return unavailable(address, said)
    known = [(code, step) for begins, code, step in _STATES if state.startswith(begins)]
    code, step = known[0] if known else ("source.invalid", "mend the query")
    return Problem(code, f"{address.told} cannot be read", said, step, {"sqlstate": state})


def unavailable(address: Address, said: str) -> Problem:
    """Return the problem of a server that is away, or has too much to do."""
    what, step = f"{_server(address)} does not answer", "see that it runs and can be reached from the server, then do it again"
    return Problem("source.unavailable", what, said, step)


def said_of(text: str) -> str:
    """Return the sentence of what libpq and the server say."""
    found = _SEVERITY.search(text)
    said = found[1] if found else _PREFIX.sub("", text)
    return first_line(ValueError(said.strip()))


def _server(address: Address) -> str:
    host, port = host_and_port(address.url.servers[0])
    return f"PostgreSQL at {host}:{port or PORT}"
