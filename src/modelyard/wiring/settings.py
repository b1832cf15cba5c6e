"""Where everything is: one frozen value, from the environment over a file over defaults."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from modelyard.core import Problem, nearest

FILE_NAME = "modelyard.toml"
PREFIX = "MODELYARD_"


@dataclass(frozen=True)
class Setting:
    """One value and where it came from."""

    name: str
    value: str
    origin: str  # `environment MODELYARD_X`, `modelyard.toml`, `default`
    looked: tuple[str, ...]  # every place, in order of precedence


ANY = "any"


@dataclass(frozen=True)
class Settings:
    """The whole configuration of one process."""

    home: Path  # holds everything that is not elsewhere by URL
    metadata: str  # sqlite:///… or postgresql://…
    objects: str  # file:///… or s3://…
    lake: str  # file:///… or s3://…
    online: str  # features that are looked up one by one: sqlite:///… or redis://…
    clock: str  # `system`, or `file:///…` for a replayed past
    engines: str  # `any`, or the URLs of the engines that pipelines may run on besides this machine: spark://host:7077
    sources: str  # `any`, or what datasets' sources may lie below: file:///data s3://lake https://data.example
    openlineage: str = ""  # where OpenLineage events are sent: https://…/api/v1/lineage or file:///….ndjson; "": nowhere
    origins: tuple[Setting, ...] = ()


def defaults(home: Path) -> dict[str, str]:
    """Return the default of each setting but `home`."""
    return {
        "metadata": f"sqlite:///{home / 'metadata.sqlite'}",
        "objects": (home / "objects").as_uri(),
        "lake": (home / "lake").as_uri(),
        "online": f"sqlite:///{quote(str(home / 'online.sqlite'))}",
        "clock": "system",
        "engines": ANY,
        "sources": ANY,
        "openlineage": "",
    }


def read_settings(
    *, home: Path | None = None, environment: Mapping[str, str] = os.environ, folder: Path | None = None
) -> Settings:
    """Return the settings: argument over environment over `modelyard.toml` in `folder` (the working one) over default.

    Raises
    ------
    Problem
        `settings.invalid` for a file that is not TOML, or a name that is not a setting.
    """
    path = (folder or Path.cwd()) / FILE_NAME
    written = _read_file(path)
    origins: list[Setting] = []

    def look(name: str, default: str, argument: str | None = None) -> str:
        variable = PREFIX + name.upper()
        looked = (variable, str(path), "default")
        if argument is not None:
            found, origin = argument, "argument"
        elif variable in environment:
            found, origin = environment[variable], f"environment {variable}"
        elif name in written:
            found, origin = written[name], str(path)
        else:
            found, origin = default, "default"
        origins.append(Setting(name, found, origin, looked))
        return found

    chosen = look("home", str(Path.home() / ".modelyard"), str(home) if home is not None else None)
    root = Path(chosen).expanduser().resolve()
    values = {name: look(name, default) for name, default in defaults(root).items()}
    unknown = sorted(set(written) - {"home", *values})
    if unknown:
        near = nearest(unknown[0], ["home", *values])
        raise Problem(
            "settings.invalid",
            f"{path} names the setting '{unknown[0]}'",
            "there is no such setting" + (f"; did you mean '{near[0]}'?" if near else ""),
            "yard settings",
        )
    return Settings(root, **values, origins=tuple(origins))


def _read_file(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        return {name: str(value) for name, value in tomllib.loads(path.read_text()).items()}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Problem("settings.invalid", f"{path} cannot be read", str(error), "mend the file, or remove it") from error
