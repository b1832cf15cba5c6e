"""Datasets and their exact versions: schema, checks, profile, split, lineage."""

from modelyard.data.profile import CategoryProfile, NumericProfile, Profile
from modelyard.data.store import DatasetStore, DataTransaction, SourceReader, TableStore
from modelyard.data.types import (
    Admission,
    Check,
    CheckOutcome,
    Column,
    Dataset,
    DatasetId,
    DatasetVersion,
    DatasetVersionId,
    Parent,
    Schema,
    Severity,
    Split,
    SplitKind,
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
    "NumericProfile",
    "Parent",
    "Profile",
    "Schema",
    "Severity",
    "SourceReader",
    "Split",
    "SplitKind",
    "TableStore",
]
