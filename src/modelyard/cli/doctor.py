"""`yard doctor`."""

import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import typer

from modelyard.cli.command import Home, Json
from modelyard.cli.exits import EXITS
from modelyard.cli.output import show
from modelyard.core import Problem, ProblemKind

LEAST_FREE_BYTES = 1 << 30
OLDEST = (3, 11)


@dataclass(frozen=True)
class Finding:
    """What one look found."""

    what: str
    fine: bool
    told: str
    next_step: str = ""


def doctor(home: Home = None, as_json: Json = False) -> None:
    """Look at Python, packages, disk, ports and the database, and say what to do about what is wrong."""
    found = list(examine(home))
    show(found, as_json, ["what", "fine", "told", "next_step"])
    if not all(finding.fine for finding in found):
        raise typer.Exit(EXITS[ProblemKind.UNAVAILABLE])


def examine(home: str | None) -> Iterator[Finding]:
    """Yield each finding; one that fails does not keep the others from being made."""
    from modelyard.wiring.settings import read_settings

    yield _python()
    yield from _packages()
    try:
        settings = read_settings(home=Path(home) if home else None)
    except Problem as problem:
        yield Finding("settings", False, str(problem), problem.next_step)
        return
    yield _told("settings", lambda: f"home is {settings.home}")
    yield _told("home", lambda: _writable(settings.home))
    yield _disk(settings.home)
    yield _told("ports", _ports)
    yield _told("database", lambda: _database(settings.home))


def _python() -> Finding:
    told = ".".join(str(part) for part in sys.version_info[:3])
    return Finding(
        "python", sys.version_info >= OLDEST, told, "" if sys.version_info >= OLDEST else "install Python 3.11 or newer"
    )


def _packages() -> Iterator[Finding]:
    """Look whether what the package and each of its extras ask for is installed."""
    from importlib.metadata import requires

    wanted: dict[str, list[str]] = {"": []}
    for line in requires("modelyard") or ():
        requirement, _, marker = line.partition(";")
        name = requirement
        for sign in "<>=!~[ (":
            name = name.partition(sign)[0]
        extra = marker.partition("extra ==")[2].strip(" '\"") if "extra ==" in marker else ""
        if name != "modelyard" and ("sys_platform" not in marker or sys.platform != "win32"):
            wanted.setdefault(extra, []).append(name)
    for extra, names in wanted.items():
        absent = [name for name in names if not _installed(name)]
        what = f"packages [{extra}]" if extra else "packages"
        if not absent:
            yield Finding(what, True, f"{len(names)} installed")
        elif extra:
            yield Finding(
                what, True, f"not installed: {', '.join(absent)}", f"if you want it: pip install 'modelyard[{extra}]'"
            )
        else:
            yield Finding(what, False, f"not installed: {', '.join(absent)}", "pip install modelyard")


def _installed(name: str) -> bool:
    from importlib.metadata import PackageNotFoundError, version

    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _told(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, look())
    except Problem as problem:
        return Finding(what, False, f"{problem.what}: {problem.why}", problem.next_step)
    except OSError as error:
        return Finding(what, False, str(error), "mend it, or name another --home")


def _writable(home: Path) -> str:
    from modelyard.core.files import whole_file

    probe = home / ".doctor"
    with whole_file(probe) as write:
        write(b"fine")
    probe.unlink()
    return f"{home} can be written"


def _disk(home: Path) -> Finding:
    folder = next(one for one in (home, *home.parents) if one.exists())
    free = shutil.disk_usage(folder).free
    told = f"{free / 2**30:,.1f} GiB free"
    return Finding(
        "disk", free >= LEAST_FREE_BYTES, told, "" if free >= LEAST_FREE_BYTES else "free some space, or move --home"
    )


def _ports() -> str:
    from modelyard.cli.up import USUAL_PORT

    with socket.socket() as probe:
        taken = probe.connect_ex(("127.0.0.1", USUAL_PORT)) == 0
    return f"{USUAL_PORT} is taken; yard up --port 0 takes a free one" if taken else f"{USUAL_PORT} is free"


def _database(home: Path) -> str:
    from modelyard.wiring import open_platform, read_settings

    platform = open_platform(read_settings(home=home))
    try:
        with platform.transaction() as tx:
            count = len(tx.tenancy.organisations())
    finally:
        platform.close()
    place = platform.settings.metadata.partition("://")[0]
    return f"{place} answers, {count} organisations"
