"""Recipes, runs and studies."""

from modelyard.training.store import Compactor, Framework, RunStore, Sampler, TrainingTransaction
from modelyard.training.types import (
    Choice,
    Direction,
    Float,
    Int,
    MetricPoint,
    Recipe,
    Run,
    RunId,
    RunKind,
    RunState,
    Space,
    Study,
    StudyId,
    StudyState,
    Trainer,
)

__all__ = [
    "Choice",
    "Compactor",
    "Direction",
    "Float",
    "Framework",
    "Int",
    "MetricPoint",
    "Recipe",
    "Run",
    "RunId",
    "RunKind",
    "RunState",
    "RunStore",
    "Sampler",
    "Space",
    "Study",
    "StudyId",
    "StudyState",
    "Trainer",
    "TrainingTransaction",
]
