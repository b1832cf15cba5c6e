"""The token by which the gateway asks the control plane: made here, kept in the home, shown to nobody."""

import os
from contextlib import suppress
from pathlib import Path

from modelyard.core import Problem
from modelyard.core.files import whole_file
from modelyard.tenancy import Actor, Role
from modelyard.tenancy.service import create_member, create_token, identify
from modelyard.wiring import Platform

MEMBER = "gateway"
FILE = "token"


def service_token(platform: Platform, admin: Actor) -> str:
    """Return the secret of the gateway's member, a viewer everywhere; made anew where the kept one is not accepted."""
    path = platform.settings.home / "gateway" / FILE
    kept = _read(path)
    if kept is not None:
        with suppress(Problem):
            identify(platform, kept)
            return kept
    try:
        create_member(platform, admin, name=MEMBER, role=Role.VIEWER)
    except Problem as problem:
        if problem.code != "member.exists":
            raise
    _, secret = create_token(platform, admin, member=MEMBER, name=MEMBER, role=Role.VIEWER)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with whole_file(path, mode=0o600) as write:
        write(secret.encode())
    return secret


def _read(path: Path) -> str | None:
    with suppress(FileNotFoundError):
        if path.stat().st_uid == os.getuid():
            return path.read_text().strip()
    return None
