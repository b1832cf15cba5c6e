"""Routes of features: what can be looked up online, publishing it, and looking it up."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query

from modelyard.api.callers import InProject
from modelyard.data.features.online import FeatureRow, Published
from modelyard.data.features.service import look_up, publish
from modelyard.serving.lookups import FeatureTable, feature_tables

router = APIRouter(prefix="/v1/projects/{project}/features", tags=["features"])


@router.get("")
def features(call: InProject) -> list[FeatureTable]:
    """Return the datasets that are published online or looked up by a deployed version."""
    return feature_tables(call.platform, call.actor, call.project)


@router.post("/{name}/publish")
def publish_table(call: InProject, name: str) -> Published:
    """Put what a dataset's newest version knows into the online store, and keep it up to date from then on."""
    return publish(call.platform, call.actor, call.project, name)


@router.get("/{name}/rows")
def feature_rows(
    call: InProject, name: str, entity: Annotated[list[str], Query()], before: datetime | None = None
) -> list[FeatureRow]:
    """Return the last row of an entity before a moment (now), or none; `entity` has a value for each column that names it."""
    found = look_up(call.platform, call.actor, call.project, name, entity, before or call.platform.clock())
    return [] if found is None else [found]
