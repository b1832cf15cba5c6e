"""User code travels as text: what comes along, what does not, and what happens when it is loaded."""

import inspect
import json
import linecache
import logging
import math
import re
import runpy
import subprocess
import sys
import textwrap
import traceback
import xml.etree.ElementTree
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial, wraps
from math import floor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars import col

from modelyard.core import Problem
from modelyard.prepare import Code, call_user, capture, load, user_code_boundary

RATE = 1.5
LIMITS = {"low": (0, 1), "names": ["a", "b"], "set": {"y", "x"}, "none": None, "nan": math.inf}
LOGGER = logging.getLogger("tests.prepare")
WORD = re.compile(r"\w+", re.IGNORECASE)


class Project:
    """Stands for what `yard.project` gives: its decorators are not part of a function."""

    __module__ = "modelyard.client.project"

    def step(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    def trainer(self, *options: Any, **named: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        return lambda function: function


project = Project()


@project.step
@project.trainer("label", metric="roc_auc")
def scaled(rows: pl.DataFrame) -> pl.DataFrame:
    """Scale by the rate."""
    return rows.with_columns(scaled=col("x") * RATE + halved(floor(2.5)))


def halved(value: float) -> float:
    return value / 2 if value > 1 else other(value)


def other(value: float) -> float:
    return halved(value * 4)  # the two call one another


def shout(function: Callable[..., str]) -> Callable[..., str]:
    @wraps(function)
    def louder(*args: Any) -> str:
        return function(*args).upper()

    return louder


@shout
def greeting(name: str) -> str:
    return f"hello {name}"


@cache
def cached(value: int) -> int:
    return value + 1


@dataclass(frozen=True)
class Point:
    x: float
    y: float = RATE

    def length(self) -> float:
        return math.hypot(self.x, self.y)


class Named(Point):
    title: str = "p"


def with_classes(x: float) -> float:
    return Named(x).length() + Point(0.0, 1.0).length()


def with_things(text: str) -> Any:
    LOGGER.debug("seen %s", text)
    tree = xml.etree.ElementTree.fromstring(f"<a>{text}</a>")  # noqa: S314 - our own text
    return [np.log(1.0), WORD.findall(tree.text or ""), LIMITS, json.dumps({"a": 1})]


def test_a_function_comes_with_what_it_needs_and_nothing_more() -> None:
    code = capture(scaled)
    assert code.entry == "scaled"
    assert "RATE = 1.5" in code.source
    assert "from polars import col" in code.source
    assert "from math import floor" in code.source
    assert "def halved" in code.source
    for absent in ("project", "LIMITS", "Point", "pl.DataFrame =", "import pytest"):
        assert absent not in code.source
    answer = load(code)(pl.DataFrame({"x": [2.0]}))
    assert answer.to_dict(as_series=False) == {"x": [2.0], "scaled": [4.0]}


def test_classes_loggers_patterns_literals_and_submodules_travel() -> None:
    assert load(capture(with_classes))(2.0) == pytest.approx(math.hypot(2.0, 1.5) + 1.0)
    found = load(capture(with_things))("ab cd")
    assert found == [0.0, ["ab", "cd"], LIMITS, '{"a": 1}']


def test_decorators_of_others_stay() -> None:
    assert load(capture(greeting))("you") == "HELLO YOU"

    def uses(value: int) -> int:
        return cached(value) + cached(value)

    assert load(capture(uses))(1) == 4
    assert "@cache" in capture(uses).source


class Wrapped:
    """Stands for what `@project.step` leaves in the place of a function."""

    __module__ = "modelyard.client.steps"

    def __init__(self, function: Callable[..., Any]) -> None:
        self.__wrapped__ = function

    def __call__(self, *args: Any) -> Any:
        return self.__wrapped__(*args)


def test_a_function_that_modelyard_wraps_travels_as_the_plain_one() -> None:
    @Wrapped
    def inner(value: int) -> int:
        return value + 1

    def outer(value: int) -> int:
        return int(inner(value)) * 2

    assert load(capture(inner))(1) == 2
    code = capture(outer)
    assert load(code)(1) == 4
    assert "Wrapped" not in code.source


def test_closures_and_defaults_travel_by_value() -> None:
    def make(factor: int, shift: list[int]) -> Callable[..., Any]:
        def inner(value: int, power: int = factor, *, plus: int = 3) -> Any:
            return [factor * value**power + plus + s for s in shift]

        return inner

    first, second = capture(make(2, [0, 1])), capture(make(3, [5]))
    assert first.digest != second.digest
    assert load(first)(4) == [2 * 16 + 3, 2 * 16 + 4]
    assert load(second)(2) == [3 * 8 + 3 + 5]


def test_an_indented_function_keeps_its_strings() -> None:
    if True:

        def query() -> str:
            return """one
              two
        three"""

    assert load(capture(query))() == query()


def test_the_same_function_gives_the_same_digest_also_after_a_journey() -> None:
    first, second = capture(with_things), capture(with_things)
    assert first == second
    assert first.digest == second.digest
    arrived = Code.from_json(json.loads(json.dumps(first.to_json())))
    assert arrived.digest == first.digest
    assert capture(load(arrived)) == first


def test_an_installed_function_travels_as_its_import() -> None:
    code = capture(json.dumps)
    assert "from json import dumps" in code.source
    assert load(code)([1]) == "[1]"
    assert load(capture(math.hypot))(3, 4) == 5


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: lambda x: x, "write it as a def"),
        (lambda: partial(other, 1), "write it as a def"),
        (lambda: Point(1, 2).length, "write it as a def"),
        (lambda: Point, "write it as a def"),
    ],
)
def test_what_is_no_function_is_refused_with_advice(make: Callable[[], Any], told: str) -> None:
    with pytest.raises(Problem) as caught:
        capture(make())
    assert caught.value.code == "code.invalid"
    assert told in caught.value.next_step


FRAME = pl.DataFrame({"x": [1]})


def test_an_object_that_cannot_travel_is_named_with_its_type() -> None:
    def uses() -> Any:
        return FRAME.height

    with pytest.raises(Problem) as caught:
        capture(uses)
    assert caught.value.code == "code.invalid"
    assert caught.value.detail == {"name": "FRAME", "type": "polars.dataframe.frame.DataFrame", "function": "uses"}
    assert "pass it as a parameter" in caught.value.next_step

    def reports() -> Any:
        return project.step

    with pytest.raises(Problem, match="'project', which 'reports' uses, cannot travel"):
        capture(reports)


def test_an_undefined_name_is_told() -> None:
    def uses() -> Any:
        return not_yet_there  # type: ignore[name-defined]  # noqa: F821 - that is the point

    with pytest.raises(Problem, match="uses 'not_yet_there', which is not defined"):
        capture(uses)


def test_too_much_code_is_refused() -> None:
    many = "x" * (5 << 20)

    def uses() -> int:
        return len(many)

    with pytest.raises(Problem) as caught:
        capture(uses)
    assert caught.value.code == "code.too_large"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder of the user's own modules, importable during the test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)) or name in {"yours", "helpers"}:
            del sys.modules[name]


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / (
            name.replace("__", "/", 1) + ".py" if not name.endswith("_init") else name.removesuffix("_init") + "/__init__.py"
        )
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))


def module(name: str) -> ModuleType:
    __import__(name)
    return sys.modules[name]


def test_a_users_modules_travel_whole(folder: Path) -> None:
    write(
        folder,
        yours_init="from .inner import SCALE\n",
        yours__inner="from . import deep\nSCALE = deep.FACTOR * 2\n",
        yours__deep="import helpers\nFACTOR = helpers.base()\n",
        helpers="def base():\n    return 5\n\n\nclass Box:\n    size = 3\n",
        train="""
            import yours
            import yours.inner as inner
            from helpers import Box, base as basis


            def late():
                import yours.deep
                from yours import deep
                return yours.deep is deep, deep.FACTOR


            def step(x):
                return x * yours.SCALE + inner.SCALE + basis() + Box.size, late()
            """,
    )
    step = module("train").step
    code = capture(step)
    assert set(code.modules) == {"yours.__init__", "yours.inner", "yours.deep", "helpers"}
    expected = step(1)
    for name in ("train", "yours", "yours.inner", "yours.deep", "helpers"):
        del sys.modules[name]
    for path in folder.rglob("*.py"):
        path.unlink()
    sys.path_importer_cache.clear()
    assert load(code)(1) == expected == (28, (True, 5))
    assert "helpers" not in sys.modules


def test_two_versions_do_not_mix(folder: Path) -> None:
    text = "import helpers\n\n\ndef step():\n    from helpers import VALUE\n    return helpers.VALUE, VALUE\n"
    write(folder, helpers="VALUE = 1\n", first=text)
    one = capture(module("first").step)
    del sys.modules["helpers"]
    write(folder, helpers="VALUE = 222\n", second=text)
    linecache.clearcache()
    two = capture(module("second").step)
    assert one.digest != two.digest
    older, newer = load(one), load(two)
    assert (older(), newer(), older()) == ((1, 1), (222, 222), (1, 1))


def test_each_loading_has_a_state_of_its_own(folder: Path) -> None:
    write(folder, counting="SEEN = []\n\n\ndef step(x):\n    SEEN.append(x)\n    return len(SEEN)\n")
    code = capture(module("counting").step)
    first, second = load(code), load(code)
    assert (first(1), first(1), second(1)) == (1, 2, 1)


def test_a_changed_file_is_noticed(folder: Path) -> None:
    write(folder, changing="def step(x):\n    return x + 1\n")
    step = module("changing").step
    write(folder, changing="def step(x):\n    return x + 222\n")
    linecache.clearcache()
    with pytest.raises(Problem, match="its file has changed"):
        capture(step)


def test_a_script_run_as_main_can_be_captured(folder: Path) -> None:
    script = folder / "script.py"
    script.write_text(
        "from modelyard.prepare import capture\nK = 3\n\n\ndef f(x):\n    return g(x) * K\n\n\n"
        "def g(x):\n    return x + 1\n\n\n"
        "if __name__ == '__main__':\n    import json\n    print(json.dumps(capture(f).to_json()))\n"
    )
    spoken = subprocess.run([sys.executable, str(script)], capture_output=True, check=True, text=True)
    assert load(Code.from_json(json.loads(spoken.stdout)))(1) == 6
    names = runpy.run_path(str(script), run_name="elsewhere")
    assert load(capture(names["f"]))(1) == 6


def test_a_notebook_cell_can_be_captured() -> None:
    cells = [
        "K = 2\ndef helper(x):\n    return x * K\n",
        "class Pair:\n    def get(self):\n        return 7\n",
        "def f(x):\n    return helper(x) + Pair().get()\n",
    ]
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(cells):
        file = f"<ipython-input-{number}-cell>"
        linecache.cache[file] = (len(cell), None, cell.splitlines(keepends=True), file)
        exec(compile(cell, file, "exec"), names)  # noqa: S102 - as a notebook does
    assert load(capture(names["f"]))(4) == 15


def test_text_that_is_gone_is_told() -> None:
    names: dict[str, Any] = {}
    exec("def f():\n    return 1\n", names)  # noqa: S102 - a function without a file
    with pytest.raises(Problem, match="cannot be found"):
        capture(names["f"])


def test_a_package_that_is_not_installed_is_named() -> None:
    code = Code("import no_such_package\n\n\ndef f():\n    return 1\n", "f")
    with pytest.raises(Problem) as caught:
        load(code)
    assert caught.value.code == "code.failed"
    assert "install the package 'no_such_package'" in caught.value.next_step


def failing(rows: pl.DataFrame) -> pl.DataFrame:
    wrong = rows.get_column("no such column")  # the line that the user must see
    return wrong.to_frame()


def test_the_boundary_shows_the_users_lines_and_none_of_ours() -> None:
    with pytest.raises(Problem) as caught:
        call_user("The step 'failing'", load(capture(failing)), pl.DataFrame({"x": [1]}))
    problem = caught.value
    assert problem.code == "code.failed"
    assert isinstance(problem.__cause__, pl.exceptions.ColumnNotFoundError)
    told = problem.detail["traceback"]
    assert "the line that the user must see" in told
    assert "boundary.py" not in told
    assert "site-packages" not in told
    assert told.count("File ") == 1
    assert problem.detail["exception"] == "ColumnNotFoundError"


def test_the_boundary_keeps_chains_and_lets_problems_and_exits_pass() -> None:
    with pytest.raises(Problem) as caught, user_code_boundary("It"):
        try:
            int("x")
        except ValueError as error:
            raise KeyError("k") from error
    assert "The above exception was the direct cause" in caught.value.detail["traceback"]
    with pytest.raises(Problem) as passed, user_code_boundary("It"):
        raise Problem("run.missing", "There is no run")
    assert passed.value.code == "run.missing"
    with pytest.raises(SystemExit), user_code_boundary("It"):
        sys.exit(3)


def test_python_finds_the_text_of_a_loaded_function() -> None:
    function = load(capture(halved))
    assert "def halved" in inspect.getsource(function)
    try:
        function("text")
    except TypeError as error:
        assert "value / 2 if value > 1" in "".join(traceback.format_exception(error))
    else:
        pytest.fail("a text is no number")
