"""Trainers of a user's file, and the parameters that stand on a command line."""

import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.cli.frames import file_missing
from modelyard.core import Problem, missing

if TYPE_CHECKING:
    from modelyard.client import Search, TrainerClient
    from modelyard.data import Split


def load_trainer(reference: str) -> "TrainerClient":
    """Return the trainer that `FILE:FUNCTION` names.

    Raises
    ------
    Problem
        `trainer.invalid` for another form, and for a function that is no trainer; `file.missing`, `trainer.missing`.
    """
    from modelyard.client import TrainerClient

    name, colon, function = reference.rpartition(":")
    if not colon:
        raise Problem("trainer.invalid", f"'{reference}' names no trainer", "the form is FILE:FUNCTION", "train.py:train")
    found = load_file(Path(name))
    trainers = {key: value for key, value in vars(found).items() if isinstance(value, TrainerClient)}
    if function in trainers:
        return trainers[function]
    if hasattr(found, function):
        why = "it is not declared as one"
        raise Problem("trainer.invalid", f"'{function}' is no trainer", why, "write @project.trainer(…) above it")
    raise missing("trainer", function, trainers, f"declare it in {name} with @project.trainer(…)")


def load_file(path: Path) -> Any:
    """Return a user's file as a module, run now under its own name; its folder is where it imports from.

    Raises
    ------
    Problem
        `file.missing`.
    """
    if not path.is_file():
        raise file_missing(path)
    sys.path.insert(0, str(path.resolve().parent))
    spec = importlib.util.spec_from_file_location(path.stem, path.resolve())
    if spec is None or spec.loader is None:
        raise Problem("file.invalid", f"{path} is no Python file", "its name does not end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def read_split(text: str, test_share: float, seed: int) -> "Split":
    """Return the split that `random`, `hash`, `group:carrier`, `stratified:late`, `time` or `time:2013-06-01` says.

    Raises
    ------
    Problem
        `split.invalid` for what is none of these.
    """
    from modelyard.core import from_text
    from modelyard.data import Split, SplitKind

    name, _, rest = text.partition(":")
    kind = next((kind for kind in SplitKind if kind.value == name), None)
    by_column = kind in (SplitKind.GROUP, SplitKind.STRATIFIED)
    if kind is None or (bool(rest) != by_column and kind is not SplitKind.TIME):
        known = ", ".join(f"{one.value}:COLUMN" if one.value in ("group", "stratified") else one.value for one in SplitKind)
        raise Problem("split.invalid", f"'{text[:80]}' is no split", f"there are {known}", "--split group:carrier")
    try:
        boundary = from_text(rest) if rest and not by_column else None
    except ValueError as error:
        raise Problem("split.invalid", f"'{rest[:80]}' is no time", str(error), "--split time:2013-06-01") from error
    return Split(kind, test_share, boundary, rest if by_column else None, seed)


def read_params(texts: Sequence[str]) -> dict[str, Any]:
    """Return what `name=value` texts say; a value is JSON where it reads as such, else text.

    >>> read_params(["depth=6", "family=linear"])
    {'depth': 6, 'family': 'linear'}
    """
    return {name: _value(text) for name, text in (_parted(text) for text in texts)}


def read_space(texts: Sequence[str]) -> "Search":
    """Return the space that texts such as `depth=3..8`, `rate=0.01..0.3:log` and `family=a,b` say. Problem `search.invalid`."""
    from modelyard.client import Search

    return Search(**{name: _range(name, text) for name, text in (_parted(text) for text in texts)})


def _range(name: str, text: str) -> Any:
    from modelyard.training import Choice, Float, Int

    low, dots, rest = text.partition("..")
    if not dots:
        return Choice(tuple(_value(one) for one in text.split(",")))
    high, _, way = rest.partition(":")
    ends = _value(low), _value(high)
    if way not in ("", "log") or not all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends):
        why = f"'{text}' is no range"
        raise Problem(
            "search.invalid", f"The parameter '{name}' cannot be searched", why, f"{name}=3..8 or {name}=0.01..0.3:log"
        )
    return Int(*ends, log=bool(way)) if all(isinstance(end, int) for end in ends) else Float(*ends, log=bool(way))


def _parted(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        raise Problem("params.invalid", f"'{text}' is no parameter", "the form is NAME=VALUE", "depth=6")
    return name, value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
