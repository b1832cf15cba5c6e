"""URLs of servers, taken apart: `scheme://user:password@host:port,host:port/path?name=value`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_LOOSE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True)
class ServerUrl:
    """What a URL says. Only `place` is for people: password and options may be secret."""

    scheme: str
    user: str
    password: str | None = field(repr=False)
    servers: tuple[str, ...]  # `host:port` each, the host in lower case; the port is left out where none is said
    path: str  # as it is written, without its first slash
    options: Mapping[str, str] = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> "ServerUrl":
        """Return what a URL says. A `+` is itself; `&`, `%` and what is no ASCII may be written in percent.

        >>> ServerUrl.parse("postgresql://ann@DB.example:5432/shop?table=a%20b&sslmode=require").servers
        ('db.example:5432',)

        Raises
        ------
        ValueError
            With the reason, which tells nothing of the password.
        """
        scheme, colon, rest = url.partition("://")
        if not colon or not _SCHEME.fullmatch(scheme):
            raise ValueError("it does not begin as scheme://")
        head, _, query = rest.partition("?")
        authority, _, path = head.partition("/")
        login, _, named = authority.rpartition("@")
        user, colon, password = login.partition(":")
        servers = tuple(_server(name) for name in named.split(",")) if named else ()
        return cls(scheme.lower(), decoded(user), decoded(password) if colon else None, servers, decoded(path), _options(query))

    @property
    def place(self) -> str:
        """Scheme, servers and path: what may be told to everybody."""
        return f"{self.scheme}://{','.join(self.servers)}/{self.path}"

    def servers_at(self, default_port: int | None) -> tuple[str, ...]:
        """Return the servers, each with its port."""
        known = default_port is None
        return tuple(name if known or _split(name)[1] else f"{name}:{default_port}" for name in self.servers)


def host_and_port(server: str) -> tuple[str, int | None]:
    """Return the two parts of `host:port`; None: no port is said.

    >>> host_and_port("[::1]:5432"), host_and_port("db")
    (('::1', 5432), ('db', None))
    """
    host, port = _split(server)
    return host.removeprefix("[").removesuffix("]"), int(port) if port else None


def decoded(text: str) -> str:
    """Return a text out of a URL. Raises ValueError for a `%` that is followed by no two digits, or by no UTF-8."""
    if _LOOSE_PERCENT.search(text):
        raise ValueError("a % stands in it that is followed by no two digits: write %25")
    try:
        found = unquote(text, errors="strict")
        found.encode()
    except UnicodeError as error:
        raise ValueError("what its % say is no UTF-8: write a % itself as %25") from error
    if "\0" in found:
        raise ValueError("a NUL stands in it")
    return found


def _server(text: str) -> str:
    name = decoded(text).lower()
    host, port = _split(name)
    if not host or any(sign in host for sign in "/@?#\\ \t\r\n") or (port and not 0 < int(port) < 1 << 16):
        raise ValueError("a server is HOST or HOST:PORT")
    return name


def _split(server: str) -> tuple[str, str]:
    """Return host and port. A host in brackets has colons of its own."""
    host, colon, port = server.rpartition(":")
    if not colon or host.startswith("[") != host.endswith("]"):
        host, port = server, ""
    if port and not _PORT.fullmatch(port):
        raise ValueError("its port is no number")
    return host, port


def _options(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        name = decoded(name)
        if name in found:
            raise ValueError("an option is said twice")
        found[name] = decoded(value)
    return found
