"""Deployments, revisions, rollouts and the ledger of predictions."""

from modelyard.serving.judgement import Judgement, Verdict
from modelyard.serving.store import DeploymentStore, ServingTransaction
from modelyard.serving.types import (
    Catalogue,
    Deployment,
    DeploymentId,
    Prediction,
    PredictionId,
    Revision,
    Rollout,
    RolloutId,
    RolloutState,
    Route,
    RouteKind,
    ServedDeployment,
    ServedForm,
)

__all__ = [
    "Catalogue",
    "Deployment",
    "DeploymentId",
    "DeploymentStore",
    "Judgement",
    "Prediction",
    "PredictionId",
    "Revision",
    "Rollout",
    "RolloutId",
    "RolloutState",
    "Route",
    "RouteKind",
    "ServedDeployment",
    "ServedForm",
    "ServingTransaction",
    "Verdict",
]
