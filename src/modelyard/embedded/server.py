"""The control plane as one ASGI application: API and console."""

from fastapi import FastAPI

from modelyard.api import create_app
from modelyard.api.app import NO_DOORS, Doors
from modelyard.console import mount
from modelyard.tenancy import Actor
from modelyard.wiring import Follower, Platform


def build(
    platform: Platform, *, follower: Follower | None = None, owner: Actor | None = None, doors: Doors = NO_DOORS
) -> FastAPI:
    """Return API and console over a platform; see `create_app`."""
    app = create_app(platform, follower=follower, owner=owner, doors=doors)
    mount(app, platform, follower)
    return app
