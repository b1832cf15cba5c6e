"""A pipeline as the Python text that writes it."""

import re
from collections.abc import Sequence
from typing import Final

from modelyard.data import Check
from modelyard.data.quality.code import code_of
from modelyard.prepare.step_text import step_text
from modelyard.prepare.types import DeclaredStep, FunctionStep, Pipeline, Step

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
    lines = [f"    {_step(step)}," for step in pipeline.steps]
    if checks:
        lines += ["    checks=[", *(f"        {code_of(check)}," for check in checks), "    ],"]
    return "\n".join([*_imports(pipeline, checks), f"{name} = project.pipeline(", *lines, ")"])


def _imports(pipeline: Pipeline, checks: Sequence[Check]) -> list[str]:
    times = sorted({found for check in checks for found in _TIMES.findall(code_of(check))})
    kinds = {type(step) for step in pipeline.steps}
    public = ["prep"] * (DeclaredStep in kinds) + ["quality"] * bool(checks)
    lines = [f"from datetime import {', '.join(times)}", ""] if times else []
    lines += [f"from modelyard import {', '.join(public)}"] if public else []
    lines += ["from modelyard.prepare import Code, FunctionStep"] if FunctionStep in kinds else []
    return [*lines, ""] if lines else []


def _step(step: Step) -> str:
    if isinstance(step, DeclaredStep):
        return step_text(step)
    modules = ", ".join(f"{name!r}: {_text(text)}" for name, text in step.code.modules.items())
    code = ", ".join([_text(step.code.source), repr(step.code.entry), *([f"{{{modules}}}"] if modules else [])])
    return f"FunctionStep({step.name!r}, Code({code}))"


def _text(text: str) -> str:
    """Return a text as Python's, over its own lines where that says the same."""
    plain = all(letter.isprintable() or letter == "\n" for letter in text)
    if "\n" not in text or not plain or "\\" in text or "'''" in text or text.endswith("'"):
        return repr(text)
    return f"'''\\\n{text}'''"
