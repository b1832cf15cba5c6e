"""What may be saved as a pipeline."""

from dataclasses import replace
from typing import Final

from modelyard.core import Json, Problem, first_line
from modelyard.prepare.steps import definition
from modelyard.prepare.types import DeclaredStep, Pipeline, Step

MOST_STEPS: Final = 500


def read_pipeline(value: Json) -> Pipeline:
    """Return the pipeline of a JSON form that a person may have written: defaults filled in, what it learned left out.

    So it equals the one that `prep` makes of the same arguments, and has its digest.

    Raises
    ------
    Problem
        `pipeline.invalid`; `step.missing` with the nearest kinds; `step.invalid` for wrong arguments. `detail["step"]` is the
        number of the step, from 1.

    >>> step = {"kind": "one_hot", "columns": ["deck"], "params": {}}
    >>> read_pipeline({"format": 1, "steps": [step]}).steps[0].params
    {'limit': 50, 'min_count': 1}
    """
    read = Pipeline.from_json(value)
    if len(read.steps) > MOST_STEPS:
        raise Problem(
            "pipeline.invalid", f"The pipeline has {len(read.steps)} steps", f"the most is {MOST_STEPS}", "take fewer"
        )
    pipeline = Pipeline(tuple(_checked(step, number) for number, step in enumerate(read.steps, 1)), read.sets)
    try:
        _ = pipeline.digest
    except (ValueError, TypeError) as error:  # NaN, infinity, half of a surrogate pair: no JSON has them
        raise Problem(
            "pipeline.invalid", "The pipeline cannot be written as JSON", first_line(error), "mend the value"
        ) from error
    return pipeline


def _checked(step: Step, number: int) -> Step:
    bare = replace(step, fitted=None)
    try:
        if isinstance(bare, DeclaredStep):
            return definition(bare).checked(bare)
        texts = (bare.name, bare.code.source, bare.code.entry, *bare.code.modules, *bare.code.modules.values())
        if not all(isinstance(text, str) for text in texts):
            raise Problem(
                "step.invalid", f"Step {number} is no function step", "its code is not of texts", "save it by the SDK"
            )
        return bare
    except Problem as problem:
        problem.detail["step"] = number
        raise
