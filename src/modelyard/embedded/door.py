"""The way in: a project by name, on the server that the environment names or inside this process."""

import atexit
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.client import Connection, ProjectClient, connect
from modelyard.client.projects import open_project
from modelyard.wiring.settings import Settings, read_settings

if TYPE_CHECKING:
    from modelyard.embedded.inprocess import Embedded

MOST_WORKERS = 2


def project(name: str, *, url: str | None = None, token: str | None = None, home: str | Path | None = None) -> ProjectClient:
    """Return the project of this name, made when it is not there.

    Parameters
    ----------
    url
        Of the server; None: MODELYARD_URL. Without either the platform runs inside this process, and ends with it.
    token
        None: MODELYARD_TOKEN.
    home
        Where the platform in this process keeps everything; None: MODELYARD_HOME, or the setting `home`.

    Raises
    ------
    Problem
        `server.unavailable`, `token.unauthenticated`; `action.forbidden` when it is not there and you may not make it.
    """
    return open_project(connection(url=url, token=token, home=home), name)


def connection(
    *,
    url: str | None = None,
    token: str | None = None,
    home: str | Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Connection:
    """Return the connection that `project` uses: one for each server, and for each home in this process."""
    address = url or (environment.get("MODELYARD_URL") if home is None else None)
    if address:
        return _remote(address, token or environment.get("MODELYARD_TOKEN"))
    return embedded(read_settings(home=Path(home) if home is not None else None, environment=environment)).connection


@cache
def embedded(settings: Settings) -> "Embedded":
    """Return the platform in this process that `settings` describe, opened once."""
    from modelyard.embedded.inprocess import Embedded  # noqa: PLC0415 - who works on a server does not pay for a server here

    return Embedded(settings, workers=min(MOST_WORKERS, os.cpu_count() or 1))


@cache
def _remote(url: str, token: str | None) -> Connection:
    found = connect(url, token)
    atexit.register(found.close)
    return found
