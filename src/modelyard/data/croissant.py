"""Croissant 1.0, MLCommons' JSON-LD about datasets: a version told in it, so that others load its files by their meaning.

http://mlcommons.org/croissant/1.0
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import polars as pl

from modelyard.core import Json, JsonObject
from modelyard.data.quality.kinds import told
from modelyard.data.rules import promises
from modelyard.data.types import Dataset, DatasetVersion

METADATA: Final = "croissant.json"
PARQUET: Final = "application/x-parquet"
SPLITS: Final[Mapping[str, str]] = MappingProxyType({"train": "cr:TrainingSplit", "test": "cr:TestSplit"})
_SPLIT_FILES: Final = "splits"
CONFORMS_TO: Final = "http://mlcommons.org/croissant/1.0"
_TERMS: Final = (
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject", "fileSet", "format", "includes",
    "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex", "repeated", "replace",
    "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip
_CONTEXT: Final[JsonObject] = MappingProxyType(
    {
        "@language": "en",
        "@vocab": "https://schema.org/",
        "cr": "http://mlcommons.org/croissant/",
        "dct": "http://purl.org/dc/terms/",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "sc": "https://schema.org/",
        "conformsTo": "dct:conformsTo",
        "data": {"@id": "cr:data", "@type": "@json"},
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        "examples": {"@id": "cr:examples", "@type": "@json"},
        **{name: f"cr:{name}" for name in _TERMS},
    }
)


@dataclass(frozen=True)
class About:
    """What only its owner knows of a dataset. Croissant asks for all of it, and loads without."""

    description: str = ""
    license: str = ""  # a URL, or an SPDX name
    cite_as: str = ""
    creators: tuple[str, ...] = ()
    url: str = ""


@dataclass(frozen=True)
class ExportedFile:
    """A Parquet file beside the metadata."""

    name: str  # below the metadata's folder
    sha256: str
    size_bytes: int


def croissant_metadata(
    dataset: Dataset,
    version: DatasetVersion,
    schema: pl.Schema,
    files: Sequence[ExportedFile],
    about: About,
    *,
    split: bool = False,
) -> JsonObject:
    """Return the metadata of a version whose rows, of this schema, lie in `files`: in one, or with `split` in one a part.

    Columns of structs and of lists of them, which a field cannot be, stand in the files alone.
    """
    name = version.name
    source: JsonObject = {"fileSet": {"@id": _SPLIT_FILES}} if split else {"fileObject": {"@id": files[0].name}}
    kinds = {column: kind for column, dtype in schema.items() if (kind := _type_of(dtype)) is not None}
    fields = [_field(dataset, name, column, schema[column], kind, source) for column, kind in kinds.items()]
    if split:
        fields.append(_split_field(name, source))
    record: dict[str, Json] = {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"The rows of {name} v{version.number}." + _told_checks(dataset, None),
        "field": fields,
    }
    if dataset.key:
        record["key"] = [{"@id": f"{name}/{column}"} for column in dataset.key]
    distribution = [_file_object(one) for one in files]
    if split:
        distribution.append(_split_files())
    return {
        "@context": dict(_CONTEXT),
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": name,
        "description": about.description or f"{version.rows:,} rows of the dataset {name}, version {version.number}.",
        "version": f"{version.number}.0.0",
        "datePublished": f"{version.created_at:%Y-%m-%d}",
        "isLiveDataset": False,
        **_told_about(about),
        "distribution": distribution,
        "recordSet": [*([_split_records()] if split else []), record],
    }


def _told_about(about: About) -> JsonObject:
    told_: dict[str, Json] = {"license": about.license, "citeAs": about.cite_as, "url": about.url}
    if about.creators:
        told_["creator"] = [{"@type": "sc:Person", "name": one} for one in about.creators]
    return {name: one for name, one in told_.items() if one}


def _file_object(file: ExportedFile) -> JsonObject:
    return {
        "@type": "cr:FileObject",
        "@id": file.name,
        "name": file.name,
        "contentUrl": file.name,
        "contentSize": f"{file.size_bytes} B",
        "encodingFormat": PARQUET,
        "sha256": file.sha256,
    }


def _field(
    dataset: Dataset, name: str, column: str, dtype: pl.DataType, kind: tuple[str, bool], source: JsonObject
) -> JsonObject:
    role = " The key." if column in dataset.key else " The event time." if column == dataset.time else ""
    type_, repeated = kind
    return {
        "@type": "cr:Field",
        "@id": f"{name}/{column}",
        "name": column,
        "description": f"{dtype}.{role}{_told_checks(dataset, column)}",
        "dataType": type_,
        **({"repeated": True} if repeated else {}),
        "source": {**source, "extract": {"column": column}},
    }


def _told_checks(dataset: Dataset, column: str | None) -> str:
    """Return the checks of a column, or those of several and of whole batches."""
    mine = [one for one in promises(dataset) if (one.columns == (column,) if column else len(one.columns) != 1)]
    return f" Checked: {'; '.join(told(one) for one in mine)}." if mine else ""


def _type_of(dtype: pl.DataType) -> tuple[str, bool] | None:
    """Return the data type of a column, and whether each cell holds many such; None: a field cannot be it."""
    if isinstance(dtype, pl.List | pl.Array):
        inner = _scalar(dtype.inner)
        return None if inner is None else (inner, True)
    kind = _scalar(dtype)
    return None if kind is None else (kind, False)


def _scalar(dtype: object) -> str | None:
    if not isinstance(dtype, pl.DataType) or dtype.is_nested():
        return None
    if dtype.is_integer():
        return "sc:Integer"
    if dtype.is_float() or dtype.is_decimal():
        return "sc:Float"
    return {pl.Boolean: "sc:Boolean", pl.Date: "sc:Date", pl.Datetime: "sc:DateTime", pl.Time: "sc:Time"}.get(
        dtype.base_type(), "sc:Text"
    )


# Parts of a split: a file each, known by its name


def _split_files() -> JsonObject:
    return {
        "@type": "cr:FileSet",
        "@id": _SPLIT_FILES,
        "name": _SPLIT_FILES,
        "description": "A file of each part.",
        "encodingFormat": PARQUET,
        "includes": "data/*.parquet",
    }


def _split_records() -> JsonObject:
    fields: Iterable[tuple[str, str]] = (("name", "sc:Text"), ("url", "sc:URL"))
    return {
        "@type": "cr:RecordSet",
        "@id": "split",
        "name": "split",
        "description": "The parts of the rows: those to fit on, and those to test on.",
        "dataType": "cr:Split",
        "key": {"@id": "split/name"},
        "field": [{"@type": "cr:Field", "@id": f"split/{name}", "name": name, "dataType": kind} for name, kind in fields],
        "data": [{"split/name": name, "split/url": kind} for name, kind in SPLITS.items()],
    }


def _split_field(name: str, source: JsonObject) -> JsonObject:
    return {
        "@type": "cr:Field",
        "@id": f"{name}/split",
        "name": "split",
        "description": "Which part of the rows it is in.",
        "dataType": "sc:Text",
        "references": {"field": {"@id": "split/name"}},
        "source": {
            **source,
            "extract": {"fileProperty": "filename"},
            "transform": {"regex": r"^(train|test)(?:\.parquet)?$"},
        },
    }
