"""The pages: rendered on the server, live without reload, usable by keyboard."""

import secrets
from importlib.resources import files

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from modelyard.console import (
    data,
    doors,
    editor,
    jobs,
    labelling,
    lineage,
    models,
    monitor,
    overview,
    project,
    react,
    serve,
    steps,
    train,
    try_it,
)
from modelyard.console.traffic import TrafficBook
from modelyard.console.visits import Console
from modelyard.wiring import Follower, Platform

__all__ = ["mount"]

ROOMS = (doors, overview, data, lineage, editor, steps, train, models, try_it, labelling, serve, monitor, react, jobs, project)
KEY_BYTES = 32


def mount(app: FastAPI, platform: Platform, follower: Follower | None = None) -> None:
    """Add the pages to an application whose `state.owner` says who visits without signing in (None: nobody)."""
    app.state.console = Console(platform, follower, TrafficBook(platform), secrets.token_bytes(KEY_BYTES))
    for room in ROOMS:
        app.include_router(room.router)
    app.mount("/static", StaticFiles(directory=str(files("modelyard.console") / "static")), name="static")
