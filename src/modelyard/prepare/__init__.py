"""Steps and pipelines: raw rows into features, by one fitted artefact that runs the same in every door."""

from modelyard.prepare import prep
from modelyard.prepare.boundary import call_user, user_code_boundary
from modelyard.prepare.capture import capture
from modelyard.prepare.code import Code, load
from modelyard.prepare.compile_polars import compile_polars
from modelyard.prepare.compile_python import compile_python
from modelyard.prepare.fit import fit
from modelyard.prepare.functions import function_step
from modelyard.prepare.store import PipelineStore, PrepareTransaction
from modelyard.prepare.suggest import Flag, Suggested, Suggestion, suggest
from modelyard.prepare.transform import Transform, preview
from modelyard.prepare.types import (
    DeclaredStep,
    FittedPipeline,
    FunctionStep,
    Pipeline,
    PipelineVersion,
    SetStep,
    SpeedClass,
    Step,
    speed_class,
)
from modelyard.prepare.values import InputColumn

__all__ = [
    "Code",
    "DeclaredStep",
    "FittedPipeline",
    "Flag",
    "FunctionStep",
    "InputColumn",
    "Pipeline",
    "PipelineStore",
    "PipelineVersion",
    "PrepareTransaction",
    "SetStep",
    "SpeedClass",
    "Step",
    "Suggested",
    "Suggestion",
    "Transform",
    "call_user",
    "capture",
    "compile_polars",
    "compile_python",
    "fit",
    "function_step",
    "load",
    "prep",
    "preview",
    "speed_class",
    "suggest",
    "user_code_boundary",
]
