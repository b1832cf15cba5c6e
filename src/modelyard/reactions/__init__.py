"""Policies and the decisions they make."""

from modelyard.reactions.store import Metadata, PolicyStore, ReactionTransaction
from modelyard.reactions.types import ActionKind, Decision, DecisionId, Policy, PolicyId, Retraining, Rule, TriggerKind

__all__ = [
    "ActionKind",
    "Decision",
    "DecisionId",
    "Metadata",
    "Policy",
    "PolicyId",
    "PolicyStore",
    "ReactionTransaction",
    "Retraining",
    "Rule",
    "TriggerKind",
]
