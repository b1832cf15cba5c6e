"""Datasets and their exact versions: schema, checks, profile, split, lineage."""

from modelyard.data import quality
from modelyard.data.asof import last_before
from modelyard.data.lineage import Edge, Graph, Node
from modelyard.data.profile import CategoryProfile, NumericProfile, Profile
from modelyard.data.sources import Source
from modelyard.data.split import split_frame
from modelyard.data.store import DatasetStore, DataTransaction, Guard, Stretch, TableStore, Vacuumed
from modelyard.data.types import (
    Admission,
    Check,
    CheckOutcome,
    Column,
    Dataset,
    DatasetId,
    DatasetVersion,
    DatasetVersionId,
    Fate,
    Parent,
    Schema,
    Severity,
    Split,
    SplitKind,
    Vacuum,
    VersionFate,
)

__all__ = [
    "Admission",
    "CategoryProfile",
    "Check",
    "CheckOutcome",
    "Column",
    "DataTransaction",
    "Dataset",
    "DatasetId",
    "DatasetStore",
    "DatasetVersion",
    "DatasetVersionId",
    "Edge",
    "Fate",
    "Graph",
    "Guard",
    "Node",
    "NumericProfile",
    "Parent",
    "Profile",
    "Schema",
    "Severity",
    "Source",
    "Split",
    "SplitKind",
    "Stretch",
    "TableStore",
    "Vacuum",
    "Vacuumed",
    "VersionFate",
    "last_before",
    "quality",
    "split_frame",
]
