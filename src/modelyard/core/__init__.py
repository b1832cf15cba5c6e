"""Ids, clock, digests, pages, problems and the ports of objects and places: standard library only."""

from modelyard.core.clock import Clock, FileClock, ManualClock, from_text, system_clock, to_text
from modelyard.core.digests import Digest, digest_bytes, digest_file, digest_json
from modelyard.core.effort import Effort
from modelyard.core.ids import IdMaker, MemberId, OrganisationId, ProjectId
from modelyard.core.json import Json, JsonObject, canonical_json
from modelyard.core.names import check_name
from modelyard.core.objects import ObjectStore
from modelyard.core.pages import Page, PageRequest
from modelyard.core.places import Place, PlacedFile
from modelyard.core.problems import Problem, ProblemKind, first_line, missing, nearest
from modelyard.core.traces import Span, TraceContext, Tracer

__all__ = [
    "Clock",
    "Digest",
    "Effort",
    "FileClock",
    "IdMaker",
    "Json",
    "JsonObject",
    "ManualClock",
    "MemberId",
    "ObjectStore",
    "OrganisationId",
    "Page",
    "PageRequest",
    "Place",
    "PlacedFile",
    "Problem",
    "ProblemKind",
    "ProjectId",
    "Span",
    "TraceContext",
    "Tracer",
    "canonical_json",
    "check_name",
    "digest_bytes",
    "digest_file",
    "digest_json",
    "first_line",
    "from_text",
    "missing",
    "nearest",
    "system_clock",
    "to_text",
]
