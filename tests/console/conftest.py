"""A platform filled once a session, the console on it over real HTTP, and a copy of it for tests that write."""

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import httpx
import pytest
import uvicorn

from modelyard.api import create_app
from modelyard.api.app import Doors
from modelyard.console import mount
from modelyard.core import IdMaker, ManualClock
from modelyard.tenancy import Actor, Role
from modelyard.tenancy.service import actor_of, create_token, find_members, local_owner
from modelyard.wiring import Platform, open_platform, read_settings
from tests.console.filled import open_filled
from tests.console.reading import Element, read

HERE = Path(__file__).parent
PROJECT = "/projects/flights"
WEEKS = 6
A_DAY = 160
NO_GATEWAY = "http://127.0.0.1:9"  # nobody answers there


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let all tests of this folder share one worker, so that the platform is filled once."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("console"))


@dataclass(frozen=True)
class Home:
    """Where a filled platform lies, what its clock says, and its owner's token."""

    folder: Path
    now: datetime
    token: str


@dataclass
class Site:
    """The console of a platform, on a port."""

    url: str
    token: str
    platform: Platform
    actor: Actor
    http: httpx.Client

    def get(self, path: str = "", **headers: str) -> httpx.Response:
        """Ask for a page of the project, or for an address that begins with a slash."""
        within = path if path.startswith("?") or not path else f"/{path}"
        return self.http.get(path if path.startswith("/") else f"{PROJECT}{within}", headers=headers)

    def page(self, path: str = "") -> Element:
        answer = self.get(path)
        assert answer.status_code == 200, answer.text[:2000]
        return read(answer.text)

    def post(self, path: str, fields: dict[str, str] | None = None, headers: dict[str, str] | None = None) -> httpx.Response:
        """Send a form of the console, as its own pages do."""
        given = {"form_token": self.form_token} | (fields or {})
        return self.http.post(f"{PROJECT}/{path}", data=given, headers={"origin": self.url} | (headers or {}))

    @property
    def form_token(self) -> str:
        return self.page("jobs").one("input", name="form_token").attributes["value"]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Return where a filled platform lies; nobody has it open."""
    folder = tmp_path_factory.mktemp("filled")
    made = open_filled(folder, weeks=WEEKS, a_day=A_DAY)
    made.platform.close()
    return Home(folder, made.clock(), made.token)


@contextmanager
def open_site(home: Home, *, owner: bool = False) -> Iterator[Site]:
    """Serve the console on a free port; the client is signed in."""
    opened = open_platform(read_settings(home=home.folder, environment={}, folder=home.folder))
    clock = ManualClock(home.now)
    platform = replace(opened, clock=clock, ids=IdMaker(clock))
    actor = local_owner(platform)
    app = create_app(platform, owner=actor if owner else None, doors=Doors(gateway=NO_GATEWAY))
    mount(app, platform, None)
    with socket.create_server(("127.0.0.1", 0)) as listener, serving(app, listener):
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with httpx.Client(base_url=url, timeout=60) as http:
            site = Site(url, home.token, platform, actor, http)
            if not owner:
                http.post("/sign-in", data={"token": home.token})
            yield site
    platform.close()


@contextmanager
def serving(app: object, listener: socket.socket) -> Iterator[None]:
    """Answer on a socket from a thread, until the end."""
    config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=2)  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="session")
def site(home: Home) -> Iterator[Site]:
    """Return the console of the filled platform, for tests that only read."""
    with open_site(home) as made:
        yield made


@pytest.fixture
def own_site(home: Home, tmp_path: Path) -> Iterator[Site]:
    """Return the console of a copy of the filled platform, for tests that write."""
    folder = tmp_path / "home"
    shutil.copytree(home.folder, folder)
    with open_site(replace(home, folder=folder)) as made:
        yield made


@pytest.fixture
def empty_site(tmp_path: Path) -> Iterator[Site]:
    """Return the console of a platform with an empty project `flights`, whose owner visits."""
    from modelyard.tenancy.service import create_project  # noqa: PLC0415

    opened = open_platform(read_settings(home=tmp_path, environment={}, folder=tmp_path))
    create_project(opened, local_owner(opened), "flights")
    opened.close()
    with open_site(Home(tmp_path, datetime.fromisoformat("2013-04-01T00:00:00+00:00"), ""), owner=True) as made:
        yield made


def viewer_token(site: Site) -> str:
    """Return the secret of a token that may only read."""
    owner = next(one for one in find_members(site.platform, site.actor) if one.name == site.actor.name)
    actor = actor_of(site.platform, owner.id)
    _, secret = create_token(site.platform, actor, member=owner.name, name="looks", role=Role.VIEWER)
    return secret
