"""What a Croissant file (1.0, 1.1) says of one set of records: its fields, and the files that they are read from.

Read is what can be pinned: files with a SHA-256, alone, in a set of such, or as a member of such a zip file. Joins and
transforms of values are not made.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from modelyard.core import Problem
from modelyard.core.places import fits
from modelyard.data.table_files import ENDINGS

_PREFIX: Final = re.compile(r"(?:cr|sc):|https?://(?:schema\.org|mlcommons\.org/croissant)/")
_SIMPLE_PATH: Final = re.compile(r"\$\.([A-Za-z0-9_]+)|\$\['([^']+)'\]")
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_FORMS: Final[Mapping[str, str]] = {
    "text/csv": ".csv",
    "application/x-parquet": ".parquet",
    "application/vnd.apache.parquet": ".parquet",
    "application/jsonlines": ".jsonl",
    "application/x-jsonlines": ".jsonl",
    "application/x-ndjson": ".ndjson",
}
_ZIP: Final = ("application/zip", "application/x-zip-compressed")


@dataclass(frozen=True)
class RecordFile:
    """A file with records."""

    name: str  # with an ending that tells its form
    url: str  # as it is written: relative to the metadata, or absolute
    sha256: str  # of what lies at the URL
    member: str = ""  # of the zip file at the URL; "": the file itself


@dataclass(frozen=True)
class RecordField:
    """A field of the records: a column of the files, or a part of the file's name."""

    name: str
    kind: str  # Text, Integer, Float, Boolean, Date, DateTime, Time; "": as the file has it
    column: str = ""  # "": the file's name
    pattern: str = ""  # of the file's name: its first group

    def typed(self, found: pl.DataType) -> pl.DataType:
        """Return the type of the values, given that of the column in the file."""
        keeps = {
            "Integer": found.is_integer(),
            "Float": found.is_float() or found.is_decimal(),
            "DateTime": isinstance(found, pl.Datetime),
        }
        known: Mapping[str, pl.DataType] = {
            "Text": pl.String(),
            "Integer": pl.Int64(),
            "Float": pl.Float64(),
            "Boolean": pl.Boolean(),
            "Date": pl.Date(),
            "DateTime": pl.Datetime("us", "UTC" if found == pl.String else None),
            "Time": pl.Time(),
        }
        return found if keeps.get(self.kind, self.kind not in known) or found.is_nested() else known[self.kind]


@dataclass(frozen=True)
class Records:
    """A set of records."""

    name: str
    fields: tuple[RecordField, ...]
    files: tuple[RecordFile, ...]


_KINDS: Final[Mapping[str, str]] = {
    **{name: name for name in ("Text", "Integer", "Float", "Boolean", "Date", "DateTime", "Time")},
    **{"URL": "Text", "Number": "Float", "Int8": "Integer", "Int16": "Integer", "Int32": "Integer", "Int64": "Integer"},
    **{"UInt8": "Integer", "UInt16": "Integer", "UInt32": "Integer", "UInt64": "Integer"},
    **{"Float16": "Float", "Float32": "Float", "Float64": "Float"},
}


def read_records(metadata: object, wanted: str = "") -> Records:
    """Return the set of records of this name; "": the only one that is read from files.

    Raises
    ------
    Problem
        `croissant.invalid` for what is not in Croissant's form, and for what cannot be read here, saying which part.
    """
    if not isinstance(metadata, Mapping) or "recordSet" not in _plain(metadata):
        raise invalid("it tells of no record sets", "name the JSON-LD of a Croissant dataset")
    try:
        whole = _plain(metadata)
        sets = {_id(one): one for one in map(_plain, _many(whole.get("recordSet")))}
        objects = {_id(one): one for one in map(_plain, _many(whole.get("distribution")))}
        read = [name for name, one in sets.items() if any("source" in _plain(field) for field in _many(one.get("field")))]
        if (wanted and wanted not in sets) or (not wanted and len(read) != 1):
            known = ", ".join(read) or "none that is read from files"
            why = f"its record sets are {known}" if not wanted else f"it has no record set '{wanted[:80]}', but {known}"
            raise invalid(why, "name one behind the URL: #records=NAME")
        name = wanted or read[0]
        given = [_plain(field) for field in _many(sets[name].get("field"))]
        sources = {_source_of(field) for field in given}
        if len(sources) != 1:
            raise invalid(
                f"the fields of {name} come from several files", "join them into one file, or name another record set"
            )
        fields = tuple(_field(name, field) for field in given)
        if not any(field.column for field in fields):
            raise invalid(f"no field of {name} is a column")
        return Records(name, fields, _files(objects, sources.pop()))
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise invalid(f"it is not in Croissant's form ({type(error).__name__}: {error})"[:300]) from error


def invalid(why: str, step: str = "") -> Problem:
    """Return the problem of a Croissant file that cannot be read."""
    return Problem(
        "croissant.invalid", "The Croissant file cannot be read", why, step or "mend it, or name its files themselves"
    )


def _plain(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return a node with the prefixes of its terms taken off."""
    return {_PREFIX.sub("", key, count=1): value for key, value in node.items()}


def _many(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _id(node: Mapping[str, Any]) -> str:
    return str(node.get("@id") or node["name"])


def _ref(value: Any) -> str:
    """Return the id that `{"@id": "x"}` or (in older files) `"x"` names."""
    return str(value["@id"] if isinstance(value, Mapping) else value)


def _source_of(field: Mapping[str, Any]) -> str:
    source = _plain(field["source"])
    ways = [way for way in ("fileObject", "fileSet", "@id") if way in source]
    return _ref(source[ways[0]])


def _field(records: str, field: Mapping[str, Any]) -> RecordField:
    name = str(field.get("name") or _id(field)).removeprefix(f"{records}/")
    source = _plain(field["source"])
    extract = _plain(source.get("extract") or {})
    transforms = [_plain(one) for one in _many(source.get("transform"))]
    kind = next((_KINDS[one] for one in map(_kind, _many(field.get("dataType"))) if one in _KINDS), "")
    if (
        extract.get("fileProperty") == "filename"
        and all(one.keys() == {"regex"} for one in transforms[:1])
        and not transforms[1:]
    ):
        return RecordField(name, "Text", pattern=str(transforms[0]["regex"]) if transforms else "")
    if transforms or "subField" in field or source.get("format"):
        raise invalid(
            f"the field {name} is transformed, which is not done here", "name its files themselves, and transform them"
        )
    if "column" in extract:
        return RecordField(name, kind, str(extract["column"]))
    found = _SIMPLE_PATH.fullmatch(str(extract.get("jsonPath", "")))
    if found is None:
        raise invalid(f"the field {name} names no column", "only extract.column, and a jsonPath of one name, are read")
    return RecordField(name, kind, found[1] or found[2])


def _kind(text: Any) -> str:
    return _PREFIX.sub("", str(text), count=1)


def _files(objects: Mapping[str, Mapping[str, Any]], source: str) -> tuple[RecordFile, ...]:
    node = objects[source]
    if _kind(node.get("@type")) != "FileSet":
        return (_file(objects, node),)
    patterns = [str(one) for one in _many(node.get("includes"))]
    inside = [one for one in objects.values() if _kind(one.get("@type")) == "FileObject"]
    met = [one for one in inside if any(fits(pattern, str(one.get("contentUrl", ""))) for pattern in patterns)]
    if not met:
        raise invalid(
            f"the files of {source} are not named one by one with a SHA-256", "name them as a pattern: file:///…/*.parquet"
        )
    return tuple(sorted((_file(objects, one) for one in met), key=lambda one: one.url))


def _file(objects: Mapping[str, Mapping[str, Any]], node: Mapping[str, Any]) -> RecordFile:
    url = str(node["contentUrl"])
    within = _many(node.get("containedIn"))
    if not within:
        return RecordFile(_name(node, url), url, _digest(node))
    holder = objects[_ref(within[0])]
    if len(within) > 1 or holder.get("encodingFormat") not in _ZIP or "containedIn" in holder:
        raise invalid(f"{_id(node)} lies in what is no zip file", "unpack it, and name the files themselves")
    return RecordFile(_name(node, url), str(holder["contentUrl"]), _digest(holder), member=url)


def _digest(node: Mapping[str, Any]) -> str:
    digest = str(node.get("sha256", ""))
    if not _SHA256.fullmatch(digest):
        raise invalid(f"{_id(node)} has no SHA-256", "what is not pinned could be another file tomorrow: add it")
    return digest.lower()


def _name(node: Mapping[str, Any], url: str) -> str:
    """Return a name whose ending tells the form: the file's own, else by what its format is said to be."""
    last = re.split(r"[?#]", url)[0].rstrip("/").rpartition("/")[2]
    if any(last.lower().endswith(ending) for ending in ENDINGS):
        return last
    formats = [str(one) for one in _many(node.get("encodingFormat"))]
    ending = next((_FORMS[one] for one in formats if one in _FORMS), None)
    if ending is None:
        raise invalid(
            f"{_id(node)} is of no form that is read ({', '.join(formats)[:80]})", f"forms are {' '.join(sorted(_FORMS))}"
        )
    return f"{last or 'records'}{ending}"
