"""Facets: what an event says besides who made what of what, each in the form of its own published schema."""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, Final

from modelyard.core import Json, JsonObject
from modelyard.data import CheckOutcome, Column, NumericProfile, Profile, Severity
from modelyard.data.profile import ColumnProfile, NumberKind
from modelyard.data.quality.kinds import told
from modelyard.serving.openlineage.naming import DatasetName
from modelyard.version import __version__

PRODUCER: Final = f"pkg:pypi/modelyard@{__version__}"  # a package URL
EVENT_SCHEMA: Final = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_SCHEMAS: Final = "https://openlineage.io/spec/facets"
_SEVERITIES: Final = {Severity.ERROR: "error", Severity.BLOCK: "error", Severity.WARNING: "warn"}
_QUANTILES: Final = (0.25, 0.5, 0.75)
MOST_CODE: Final = 100_000  # characters of a source


def facet(name: str, version: str, /, **content: Json) -> JsonObject:
    """Return a facet of a published schema.

    >>> facet("DatasetVersionDatasetFacet", "1-0-1", datasetVersion="3")["_schemaURL"].rpartition("/facets/")[2]
    '1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet'
    """
    return {"_producer": PRODUCER, "_schemaURL": f"{_SCHEMAS}/{version}/{name}.json#/$defs/{name}", **content}


# Of datasets


def schema_facet(columns: Iterable[Column]) -> JsonObject:
    """Return the columns with their types."""
    fields: list[Json] = [{"name": one.name, "type": one.dtype} for one in columns]
    return facet("SchemaDatasetFacet", "1-2-0", fields=fields)


def version_facet(version: int) -> JsonObject:
    """Return which state of a dataset of ours it is."""
    return facet("DatasetVersionDatasetFacet", "1-0-1", datasetVersion=str(version))


def column_lineage_facet(raw: Mapping[str, Iterable[str]], of: DatasetName) -> JsonObject:
    """Return from which raw columns of `of` each column comes."""
    way: list[Json] = [{"type": "DIRECT", "subtype": "TRANSFORMATION"}]
    fields: dict[str, Json] = {
        name: {
            "inputFields": [
                {"namespace": of.namespace, "name": of.name, "field": column, "transformations": way}
                for column in sorted(columns)
            ]
        }
        for name, columns in raw.items()
    }
    return facet("ColumnLineageDatasetFacet", "1-2-0", fields=fields)


def metrics_facet(profile: Profile, size_bytes: int) -> JsonObject:
    """Return what the columns look like. Of times only how many there are: the facet knows numbers alone."""
    columns: dict[str, Json] = {name: _column_metrics(one) for name, one in profile.columns.items()}
    return facet("DataQualityMetricsInputDatasetFacet", "1-0-3", rowCount=profile.rows, bytes=size_bytes, columnMetrics=columns)


def _column_metrics(of: ColumnProfile) -> JsonObject:
    if not isinstance(of, NumericProfile):
        distinct: JsonObject = {} if of.unseen else {"distinctCount": sum(count > 0 for count in of.counts)}
        return {"nullCount": of.null, "count": sum(of.slots), **distinct}
    counted: JsonObject = {"nullCount": of.null, "count": sum(of.slots)}
    if of.kind is NumberKind.TIME or not of.quantiles:
        return counted
    ranks = {str(share): of.quantiles[int(share * len(of.quantiles))] for share in _QUANTILES}
    total = of.mean * of.finite
    summed: JsonObject = {"sum": total} if isfinite(total) else {}  # JSON has no infinity
    return {**counted, **summed, "min": of.minimum, "max": of.maximum, "quantiles": dict(ranks)}


def assertions_facet(outcomes: Sequence[CheckOutcome]) -> JsonObject:
    """Return what the checks found."""
    return facet("DataQualityAssertionsDatasetFacet", "1-1-0", assertions=[_assertion(one) for one in outcomes])


def _assertion(outcome: CheckOutcome) -> JsonObject:
    check = outcome.check
    column: JsonObject = {"column": check.columns[0]} if len(check.columns) == 1 else {}
    return {
        "assertion": check.kind,
        "success": not outcome.rows_failed,
        "name": told(check),
        "severity": _SEVERITIES[check.severity],
        "actual": outcome.found or f"{outcome.rows_failed} rows",
        **column,
    }


def written_facet(rows: int, size_bytes: int | None = None) -> JsonObject:
    """Return how much was written."""
    size: JsonObject = {} if size_bytes is None else {"size": size_bytes}
    return facet("OutputStatisticsOutputDatasetFacet", "1-0-2", rowCount=rows, **size)


# Of jobs and runs


def job_type_facet(kind: str) -> JsonObject:
    """Return what kind of job of ours it is."""
    return facet("JobTypeJobFacet", "2-0-4", processingType="BATCH", integration="MODELYARD", jobType=kind)


def source_code_facet(source: str) -> JsonObject:
    """Return the code that ran, cut where it is very long."""
    return facet("SourceCodeJobFacet", "1-0-1", language="PYTHON", sourceCode=source[:MOST_CODE])


def engine_facet() -> JsonObject:
    """Return that Modelyard ran it."""
    return facet("ProcessingEngineRunFacet", "1-1-1", name="modelyard", version=__version__)


def error_facet(problem: Mapping[str, Any]) -> JsonObject:
    """Return why it failed."""
    message = ": ".join(str(problem[part]) for part in ("what", "why") if problem.get(part)) or "it failed"
    traceback = (problem.get("detail") or {}).get("traceback")
    trace: JsonObject = {} if traceback is None else {"stackTrace": str(traceback)}
    return facet("ErrorMessageRunFacet", "1-0-1", message=message, programmingLanguage="PYTHON", **trace)


def parent_facet(run: str, namespace: str, job: str) -> JsonObject:
    """Return the run that it is part of, and the job of that."""
    return facet("ParentRunFacet", "1-2-0", run={"runId": run}, job={"namespace": namespace, "name": job})
