"""Models, versions, aliases and the gates before them."""

from modelyard.registry.store import ModelStore, RegistryTransaction
from modelyard.registry.types import (
    Alias,
    Approval,
    Condition,
    ConditionKind,
    ConditionResult,
    Evaluation,
    Form,
    Gate,
    GateResult,
    Model,
    ModelId,
    ModelVersion,
    Origin,
    Signature,
    Slice,
)

__all__ = [
    "Alias",
    "Approval",
    "Condition",
    "ConditionKind",
    "ConditionResult",
    "Evaluation",
    "Form",
    "Gate",
    "GateResult",
    "Model",
    "ModelId",
    "ModelStore",
    "ModelVersion",
    "Origin",
    "RegistryTransaction",
    "Signature",
    "Slice",
]
