"""Answers of the server that only commands read."""

from dataclasses import dataclass

from modelyard.tenancy import Token


@dataclass(frozen=True)
class MadeToken:
    """A token and its secret, which is told this once."""

    token: Token
    secret: str
