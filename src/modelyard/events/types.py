"""The only form of an event: something that happened to the state, written in the transaction that changed it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from modelyard.core import ProjectId


@dataclass(frozen=True)
class Fact:
    """What a use case says of what it did: `kind` is `noun.verb` in the past tense, `subject` the id or name it happened to."""

    kind: str
    subject: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    """A fact with its place in the project's history. The events of a project, read by subject, are its audit."""

    position: int  # grows with the order of commit, over all projects
    project: ProjectId
    kind: str
    subject: str
    actor: str  # the member, or `policy:NAME`, that did it
    at: datetime
    data: Mapping[str, Any]
