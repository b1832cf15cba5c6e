"""Secrets that a URL names, and does not hold: variables of the server's environment, each good for its own servers only.

`secret=SHOP` in a URL stands for `MODELYARD_SECRET_SHOP=postgresql://ann:pa%20ss@db.example:5432`. Whoever may name a source
may name any secret; so a secret goes only to the servers that its own URL names, never to one of the asker's choice.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from modelyard.core.problems import Problem
from modelyard.core.servers import ServerUrl

PREFIX: Final = "MODELYARD_SECRET_"
_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


@dataclass(frozen=True)
class Credentials:
    """Who to be at a server. Nothing of it is for people, or for a log."""

    user: str = field(repr=False)
    password: str = field(repr=False)
    options: Mapping[str, str] = field(repr=False)  # of the driver: they stand above those of the URL that names the secret


def credentials(name: str, url: ServerUrl, default_port: int | None, environment: Mapping[str, str]) -> Credentials:
    """Return the credentials that a secret holds for the servers of `url`.

    Raises
    ------
    Problem
        `secret.invalid` for a name or a value in another form; `secret.missing` where the environment lacks it;
        `secret.refused` where it is for another scheme or server, or the URL says another user.
    """
    if not _NAME.fullmatch(name):
        raise Problem("secret.invalid", f"'{name[:80]}' is no name of a secret", "it has capitals, digits and _", "secret=SHOP")
    variable, wanted = f"{PREFIX}{name}", ", ".join(url.servers_at(default_port)) or "no server"
    form = f"{variable}={_kind(url)}://USER:PASSWORD@{wanted}"
    if variable not in environment:
        why = f"the server's environment has no {variable}"
        raise Problem("secret.missing", f"There is no secret {name}", why, f"start server and workers with {form}")
    try:
        kept = ServerUrl.parse(environment[variable])
    except ValueError:
        kept = None
    if kept is None or kept.password is None or not kept.servers or kept.path:
        why = f"the value of {variable} is no URL of a server with user and password"
        raise Problem("secret.invalid", f"The secret {name} cannot be used", why, f"write it as {form}; a % or @ in percent")
    beyond = set(url.servers_at(default_port)) - set(kept.servers_at(default_port))
    if _kind(kept) != _kind(url) or beyond or not url.servers:
        why = f"it is not for {_kind(url)}://{wanted}"
        raise Problem("secret.refused", f"The secret {name} is not given", why, "name the secret that is for this server")
    if url.user and url.user != kept.user:
        why = f"it is not that of the user '{url.user}'"
        raise Problem("secret.refused", f"The secret {name} is not given", why, "leave the user out of the URL")
    return Credentials(kept.user, kept.password, kept.options)


def _kind(url: ServerUrl) -> str:
    """Return the scheme without its driver."""
    return url.scheme.partition("+")[0]
