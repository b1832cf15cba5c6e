"""Where OpenLineage events go: a server that takes them by POST, or a file that they are added to."""

import os
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from urllib.request import url2pathname

import httpx

from modelyard.core import Problem, first_line
from modelyard.core.secrets import credentials
from modelyard.core.servers import ServerUrl
from modelyard.version import __version__

_TIMEOUT_S: Final = 10.0  # to connect, to send, and until the answer
_PORTS: Final = {"http": 80, "https": 443}
_REFUSED: Final = frozenset({400, 409, 413, 415, 422})  # of this event; any other failure may be another one tomorrow


class HttpReceiver:
    """A server: `https://marquez.example/api/v1/lineage`.

    With `?secret=MARQUEZ` the password of that secret goes along as a bearer token. What it answers is not read, and nothing
    that it points to is followed.

    Raises
    ------
    Problem
        `settings.invalid` for a URL without a host, or with a password; as `core.secrets.credentials`.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = ServerUrl.parse(url)
        except ValueError as error:
            raise _unusable(url, str(error)) from error
        if not parsed.servers or parsed.user or parsed.password is not None:
            raise _unusable(url, "a name or password stands in it" if parsed.servers else "it names no host")
        self._place = parsed.place
        parts = urlsplit(url)
        query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "secret"]
        self._url = urlunsplit(parts._replace(query=urlencode(query)))
        headers = {"user-agent": f"modelyard/{__version__}", "content-type": "application/json"}
        if "secret" in parsed.options:
            secret = credentials(parsed.options["secret"], parsed, _PORTS[parsed.scheme], os.environ)
            headers["authorization"] = f"Bearer {secret.password}"
        self._http = httpx.Client(headers=headers, timeout=_TIMEOUT_S)

    def __call__(self, event: bytes) -> None:
        """Send an event. Problem `lineage.unavailable` when it may be taken later, `lineage.refused` when it will not."""
        try:
            status = self._http.post(self._url, content=event).status_code
        except httpx.HTTPError as error:
            why = first_line(error) or type(error).__name__
            raise Problem("lineage.unavailable", f"{self._place} takes no events", why, "events wait until it does") from error
        if not httpx.codes.is_success(status):
            kind = "refused" if status in _REFUSED else "unavailable"
            step = "look at the setting `openlineage`, and at the log of the server"
            raise Problem(f"lineage.{kind}", f"{self._place} did not take an event", f"it answered {status}", step)


class FileReceiver:
    """A file of newline-delimited JSON: `file:///var/log/lineage.ndjson`."""

    def __init__(self, url: str) -> None:
        self._path = Path(url2pathname(urlsplit(url).path))
        if not self._path.is_absolute() or not self._path.parent.is_dir():
            raise _unusable(url, f"there is no folder {self._path.parent}")

    def __call__(self, event: bytes) -> None:
        """Add a line. Problem `lineage.unavailable` when it cannot be written."""
        try:
            with self._path.open("ab") as file:
                file.write(event + b"\n")
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise Problem("lineage.unavailable", f"{self._path} takes no events", why, "events wait until it does") from error


def _unusable(url: str, why: str) -> Problem:
    what = f"OpenLineage events cannot be sent to {url.partition('?')[0].rpartition('@')[2]}"
    step = "MODELYARD_OPENLINEAGE=https://HOST/api/v1/lineage?secret=NAME, or file:///….ndjson"
    return Problem("settings.invalid", what, why, step)
