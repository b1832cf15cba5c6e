"""The SDK: a project, and the verbs of everything in it, over the control plane's HTTP door."""

from modelyard.client import gate
from modelyard.client.connection import Connection, Doors, connect
from modelyard.client.datasets import DatasetClient, DatasetVersionClient
from modelyard.client.decisions import DecisionClient
from modelyard.client.deployments import Answers, DeploymentClient
from modelyard.client.models import ModelClient, VersionClient
from modelyard.client.monitors import MonitorClient, drift, performance
from modelyard.client.policies import PolicyClient, on
from modelyard.client.projects import ProjectClient
from modelyard.client.runs import RunClient
from modelyard.client.search import Search
from modelyard.client.steps import DeclaredPipeline, SavedPipeline, StepFunction
from modelyard.client.studies import StudyClient
from modelyard.client.trainers import TrainerClient
from modelyard.client.triggers import schedule

__all__ = [
    "Answers",
    "Connection",
    "DatasetClient",
    "DatasetVersionClient",
    "DecisionClient",
    "DeclaredPipeline",
    "DeploymentClient",
    "Doors",
    "ModelClient",
    "MonitorClient",
    "PolicyClient",
    "ProjectClient",
    "RunClient",
    "SavedPipeline",
    "Search",
    "StepFunction",
    "StudyClient",
    "TrainerClient",
    "VersionClient",
    "connect",
    "drift",
    "gate",
    "on",
    "performance",
    "schedule",
]
