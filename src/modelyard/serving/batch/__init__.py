"""Batch: all rows of files or of a dataset version, answered part by part, each row exactly once; begin with `run`."""

from modelyard.serving.batch.types import (
    PartForm,
    Report,
    ScoreRequest,
    SourceKind,
    SourceRef,
    TargetKind,
    TargetRef,
    UploadedFile,
    WrittenPart,
)

__all__ = [
    "PartForm",
    "Report",
    "ScoreRequest",
    "SourceKind",
    "SourceRef",
    "TargetKind",
    "TargetRef",
    "UploadedFile",
    "WrittenPart",
]
