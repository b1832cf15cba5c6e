import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from modelyard.cli.app import app
from modelyard.cli.exits import EXITS
from modelyard.core import ProblemKind

HEAVY = (
    "polars",
    "numpy",
    "fastapi",
    "sqlalchemy",
    "httpx",
    "msgspec",
    "rich",
    "asyncio",
    "modelyard.client",
    "modelyard.wiring",
)
RUN = CliRunner()


def commands(noun: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, one in noun.commands.items():
        if hasattr(one, "commands"):
            yield from commands(one, (*path, name))
        else:
            yield (*path, name), one


ALL = dict(commands(get_command(app)))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_shows_examples_that_name_it_and_has_json(path: tuple[str, ...]) -> None:
    command = ALL[path]
    assert f"yard {' '.join(path)}" in command.epilog
    assert command.help
    if path not in (("worker", "start"), ("stream", "start")):  # they become processes that print JSON already
        assert any("--json" in parameter.opts for parameter in command.params)


def test_the_commands_of_the_design_are_there() -> None:
    told = """up demo doctor init settings score exits; project list create;
        lineage show export;
        dataset add list show checks snapshot follow append versions diff report export sample vacuum quarantine;
        feature list show get publish; pipeline list show save python try run; run start list show cancel examine compare;
        study start list show; model list show register import combine evaluate promote
            approve break-glass gate best;
        deployment create list show roll-back push canary split shadow shadows; stream start;
            label add queue skip list; monitor list show;
        alert list; policy list apply;
        decision list show undo; job list show logs cancel retry; schedule list; token create list limit revoke;
        member add list; worker start"""
    first, *nouns = [part.split() for part in told.split(";")]
    assert set(ALL) == {(name,) for name in first} | {(noun, verb) for noun, *verbs in nouns for verb in verbs}


def test_help_is_quick_since_it_imports_nothing_heavy() -> None:
    code = f"""
import sys
from typer.testing import CliRunner
from modelyard.cli.app import app
before = set(sys.modules)
assert CliRunner().invoke(app, ["run", "--help"]).exit_code == 0
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_exit_codes_are_shown() -> None:
    told = json.loads(RUN.invoke(app, ["exits", "--json"]).stdout)
    assert told == {"ok": 0, **{kind.value: code for kind, code in EXITS.items()}}


def test_settings_say_where_each_came_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path))
    told = {one["name"]: one for one in json.loads(RUN.invoke(app, ["settings", "--json"]).stdout)}
    assert told["home"]["origin"] == "environment MODELYARD_HOME"
    assert told["objects"]["value"] == (tmp_path / "objects").as_uri()
    told = {one["name"]: one for one in json.loads(RUN.invoke(app, ["settings", "--json", "--home", "/x"]).stdout)}
    assert told["home"]["origin"] == "argument"


def test_a_problem_is_printed_in_full_and_becomes_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "churn").mkdir()
    (tmp_path / "churn" / "train.py").touch()
    plain = RUN.invoke(app, ["init", str(tmp_path / "churn")])
    assert plain.exit_code == EXITS[ProblemKind.EXISTS]
    assert "is there already" in plain.stderr
    assert "next: name another folder" in plain.stderr
    machine = RUN.invoke(app, ["init", str(tmp_path / "churn"), "--json"])
    assert machine.stdout == ""
    assert json.loads(machine.stderr)["problem"]["code"] == "file.exists"


def test_a_host_that_others_reach_has_to_be_meant(tmp_path: Path) -> None:
    done = RUN.invoke(app, ["up", "--home", str(tmp_path), "--host", "0.0.0.0"])  # noqa: S104 - refused
    assert done.exit_code == EXITS[ProblemKind.REFUSED]
    assert "--open-to-network" in done.stderr


def test_a_server_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_URL", "http://127.0.0.1:9")
    done = RUN.invoke(app, ["project", "list", "--json"])
    assert done.exit_code == EXITS[ProblemKind.UNAVAILABLE]
    assert json.loads(done.stderr)["problem"]["code"] == "server.unavailable"


def test_the_doctor_looks_at_everything(tmp_path: Path) -> None:
    done = RUN.invoke(app, ["doctor", "--home", str(tmp_path / "home"), "--json"])
    found = {one["what"]: one for one in json.loads(done.stdout)}
    assert done.exit_code == 0
    assert {"python", "packages", "packages [sklearn]", "settings", "home", "disk", "ports", "database"} <= set(found)
    assert all(one["fine"] for one in found.values())


def test_the_doctor_says_what_is_wrong_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file stands where the folder is to be")
    done = RUN.invoke(app, ["doctor", "--home", str(tmp_path / "home"), "--json"])
    found = {one["what"]: one for one in json.loads(done.stdout)}
    assert done.exit_code == EXITS[ProblemKind.UNAVAILABLE]
    assert not found["home"]["fine"]
    assert found["home"]["next_step"]
