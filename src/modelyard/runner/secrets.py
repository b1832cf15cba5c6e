"""Secrets of sources, handed to the one try that is to have them.

They go from the worker to that try's process through a pipe. The fork server between them passes the pipe on and never reads
it: the processes of users' code are copies of its memory.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Final

from modelyard.core.secrets import PREFIX

NO_SECRETS: Final[Mapping[str, str]] = MappingProxyType({})


def parted(environment: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return an environment without secrets, and the secrets.

    >>> parted({"MODELYARD_SECRET_SHOP": "postgresql://…", "HOME": "/home/ada"})
    ({'HOME': '/home/ada'}, {'MODELYARD_SECRET_SHOP': 'postgresql://…'})
    """
    secrets = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    return {name: value for name, value in environment.items() if name not in secrets}, secrets


def give_secrets(descriptor: int, secrets: Mapping[str, str]) -> None:
    """Write secrets into a pipe, and close it."""
    with suppress(BrokenPipeError), os.fdopen(descriptor, "wb") as pipe:  # who was to read may have ended
        pipe.write(json.dumps(dict(secrets)).encode())


def take_secrets(descriptor: int) -> dict[str, str]:
    """Return what was written into the pipe, and close it."""
    with os.fdopen(descriptor, "rb") as pipe:
        content = pipe.read()
    secrets: dict[str, str] = json.loads(content)
    return secrets
