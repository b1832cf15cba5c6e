"""Secrets out of what jobs print and raise."""

import re
from collections.abc import Mapping
from typing import Any

from modelyard.core.servers import ServerUrl

HIDDEN = "…"
_TOKEN = re.compile(r"yard_[A-Za-z0-9_-]{43}")
_PASSWORD_IN_URL = re.compile(r"(?<=://)([^\s/:@]*):[^\s/@]+(?=@)")
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY|PRIVATE_KEY|CREDENTIAL", re.IGNORECASE)
_SHORTEST = 8  # a shorter value would hide ordinary words


class Mask:
    """Hides Modelyard's own tokens, passwords in URLs, and the values of environment variables whose names speak of secrets.

    Of a value that is a URL its password is hidden also where it stands alone, decoded.

    >>> mask = Mask({"AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI", "HOME": "/home/ada"})
    >>> mask("key wJalrXUtnFEMI, postgresql://ada:lovelace@db/yard in /home/ada")
    'key …, postgresql://ada:…@db/yard in /home/ada'
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        named = {value for name, value in environment.items() if _SECRET_NAME.search(name)}
        # A path says where a secret is, not what it is.
        named |= {password for value in named if (password := _password_of(value))}
        secrets = [value for value in named if len(value) >= _SHORTEST and not value.startswith("/")]
        self._values = re.compile("|".join(re.escape(value) for value in sorted(secrets, key=len, reverse=True)) or r"(?!)")

    def __call__(self, text: str) -> str:
        """Return `text` with secrets hidden."""
        text = _TOKEN.sub("yard_" + HIDDEN, text)
        text = _PASSWORD_IN_URL.sub(rf"\1:{HIDDEN}", text)
        return self._values.sub(HIDDEN, text)

    def all_in(self, value: Any) -> Any:
        """Return a JSON value with secrets hidden in each of its texts."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, Mapping):
            return {key: self.all_in(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.all_in(one) for one in value]
        return value


def _password_of(value: str) -> str | None:
    try:
        return ServerUrl.parse(value).password
    except ValueError:  # it is no URL
        return None
