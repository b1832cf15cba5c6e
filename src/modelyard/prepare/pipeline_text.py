"""A pipeline as the Python text that writes it."""

import re
from collections.abc import Sequence
from typing import Final

from modelyard.data import Check
from modelyard.data.quality.code import code_of
from modelyard.prepare.code import Code
from modelyard.prepare.step_text import step_text
from modelyard.prepare.types import DeclaredStep, FunctionStep, Pipeline, SetStep, Step

_TIMES: Final = re.compile(r"\b(date|datetime)\.fromisoformat\(")


def pipeline_text(pipeline: Pipeline, checks: Sequence[Check] = (), *, name: str = "features") -> str:
    """Return the code that makes a pipeline, given a `project`; what it makes has the digest of this one.

    A function step is written with all the text that travels with it.

    >>> from modelyard.prepare import prep
    >>> print(pipeline_text(Pipeline((prep.fill_null("tenure", 0), prep.one_hot("plan")))))
    from modelyard import prep
    <BLANKLINE>
    features = project.pipeline(
        prep.fill_null('tenure', value=0),
        prep.one_hot('plan'),
    )
    """
    lines = [f"    {_set(step)}," for step in pipeline.sets] + [f"    {_step(step)}," for step in pipeline.steps]
    if checks:
        lines += ["    checks=[", *(f"        {code_of(check)}," for check in checks), "    ],"]
    return "\n".join([*_imports(pipeline, checks), f"{name} = project.pipeline(", *lines, ")"])


def _imports(pipeline: Pipeline, checks: Sequence[Check]) -> list[str]:
    times = sorted({found for check in checks for found in _TIMES.findall(code_of(check))})
    kinds = {type(step) for step in pipeline.steps}
    asked = any(isinstance(step.work, str) for step in pipeline.sets)
    public = ["prep"] * (asked or DeclaredStep in kinds) + ["quality"] * bool(checks)
    named = ["Code"] * (FunctionStep in kinds or any(isinstance(step.work, Code) for step in pipeline.sets))
    named += ["FunctionStep"] * (FunctionStep in kinds) + ["SetStep"] * any(isinstance(s.work, Code) for s in pipeline.sets)
    lines = [f"from datetime import {', '.join(times)}", ""] if times else []
    lines += [f"from modelyard import {', '.join(public)}"] if public else []
    lines += [f"from modelyard.prepare import {', '.join(named)}"] if named else []
    return [*lines, ""] if lines else []


def _step(step: Step) -> str:
    return step_text(step) if isinstance(step, DeclaredStep) else f"FunctionStep({step.name!r}, {_code(step.code)})"


def _set(step: SetStep) -> str:
    if isinstance(step.work, Code):
        return f"SetStep({_code(step.work)}, {dict(step.inputs)!r})"
    inputs = f", **{dict(step.inputs)!r}" if step.inputs else ""
    return f"prep.sql({_text(step.work)}{inputs})"


def _code(code: Code) -> str:
    modules = ", ".join(f"{name!r}: {_text(text)}" for name, text in code.modules.items())
    return f"Code({', '.join([_text(code.source), repr(code.entry), *([f'{{{modules}}}'] if modules else [])])})"


def _text(text: str) -> str:
    """Return a text as Python's, over its own lines where that says the same."""
    plain = all(letter.isprintable() or letter == "\n" for letter in text)
    if "\n" not in text or not plain or "\\" in text or "'''" in text or text.endswith("'"):
        return repr(text)
    return f"'''\\\n{text}'''"
