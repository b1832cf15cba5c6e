"""The one table of steps: a job's kind → where the function is that does it.

Other packages add kinds of their own under the entry point group `modelyard.steps`, named by the kind; ours go first.
"""

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points

from modelyard.core import missing
from modelyard.runner.context import Step

GROUP = "modelyard.steps"

STEPS: Mapping[str, str] = {
    "dataset.snapshot": "modelyard.runner.steps.snapshot:take_snapshot",
    "run.train": "modelyard.runner.steps.train:run_training",
    "pipeline.run": "modelyard.runner.steps.prepared:run_pipeline",
    "run.examine": "modelyard.runner.steps.examine:examine_run",
    "model.register": "modelyard.runner.steps.register:register_run",
    "model.import": "modelyard.runner.steps.foreign:import_model",
    "model.combine": "modelyard.runner.steps.combine:combine_versions",
    "model.evaluate": "modelyard.runner.steps.evaluate:evaluate_version",
    "model.score": "modelyard.runner.steps.score:score_rows",
    "decision.notify": "modelyard.runner.steps.notify:notify",
    "deployment.retrain": "modelyard.runner.steps.retrain:retrain",
}
# The kinds whose tries are given the secrets of sources: none of them runs code of users.
TRUSTED = frozenset({"dataset.snapshot"})


def find_step(kind: str) -> Step:
    """Return the step that does jobs of this kind, imported now.

    Raises
    ------
    Problem
        `step.missing` for a kind that nobody does, with the nearest suggested.
    """
    known = {point.name: point for point in entry_points(group=GROUP)}
    known |= {name: EntryPoint(name, value, GROUP) for name, value in STEPS.items()}
    if kind not in known:
        raise missing("step", kind, known, f"install a package with an entry point '{kind}' in the group {GROUP}")
    step: Step = known[kind].load()
    return step
