"""Sources in files: CSV, Parquet and newline-delimited JSON, by path, glob or `file://` URL."""

import re
from collections.abc import Callable, Mapping, Sequence
from glob import glob
from io import BytesIO
from pathlib import Path
from typing import IO
from urllib.parse import parse_qs, unquote, urlsplit
from zipfile import BadZipFile, ZipFile

import polars as pl

from modelyard.core import Problem

_FORMS = ".csv .csv.gz .csv.zip .parquet .ndjson .jsonl"
_MAGIC = "*?["


class FileSources:
    """Reads what a path, a glob (`**` for any depth) or a `file://` URL names; files of one glob in order of their names.

    The form goes by the ending: `.csv`, `.csv.gz`, `.csv.zip` (one file in it), `.parquet`, `.ndjson`, `.jsonl`.

    In a CSV file an empty field is null; a further text that means null is said in the URL: `file:///data/flights.csv?null=NA`.
    The types of its columns are found from all their values: whole numbers (unless one begins with a zero, as a postal code
    may), numbers, truth values, dates and times in ISO 8601 (UTC where they have an offset), else text.
    """

    def scan(self, url: str) -> pl.LazyFrame:
        """Return its rows lazily.

        Raises
        ------
        Problem
            `source.missing` when no file is there; `source.invalid` for another form of URL or file, for files of one glob that
            differ in form or columns, and for content that cannot be read.
        """
        pattern, nulls = _parse(url)
        paths = _find(pattern)
        if not paths:
            raise Problem(
                "source.missing", f"There is no file {pattern}", "the path or pattern matches nothing", "look at the path"
            )
        endings = {_ending(path) for path in paths}
        if len(endings) > 1:
            raise _invalid(url, f"its files have different forms: {', '.join(sorted(endings))}")
        try:
            rows = _READERS[endings.pop()](paths, nulls)
            rows.collect_schema()
        except (pl.exceptions.PolarsError, OSError, BadZipFile) as error:
            raise _invalid(url, (str(error).strip().splitlines() or [type(error).__name__])[0]) from error
        return rows


def _parse(url: str) -> tuple[str, list[str]]:
    """Return the path or pattern that `url` names, and the texts that mean null."""
    if "://" not in url:
        return url, []
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc not in {"", "localhost"}:
        raise _invalid(url, "only file:///absolute/path and paths are read here")
    options = parse_qs(parts.query, keep_blank_values=True)
    unknown = sorted(set(options) - {"null"})
    if unknown:
        raise _invalid(url, f"the option '{unknown[0]}' is not known; there is: null")
    return unquote(parts.path), options.get("null", [])


def _find(pattern: str) -> list[Path]:
    if not pattern or "\0" in pattern:
        return []
    if Path(pattern).is_file():
        return [Path(pattern)]
    if not any(sign in pattern for sign in _MAGIC):
        return []
    return [Path(found) for found in sorted(glob(pattern, recursive=True)) if Path(found).is_file()]


def _ending(path: Path) -> str:
    for ending in _READERS:
        if path.name.lower().endswith(ending):
            return ending
    raise _invalid(str(path), f"its ending is none of {_FORMS}")


def _csv(paths: Sequence[Path], nulls: list[str]) -> pl.LazyFrame:
    return _typed(pl.scan_csv(list(paths), infer_schema=False, null_values=nulls, glob=False).collect())


def _zipped_csv(paths: Sequence[Path], nulls: list[str]) -> pl.LazyFrame:
    contents: list[IO[bytes]] = [_unzipped(path) for path in paths]
    return _typed(pl.scan_csv(contents, infer_schema=False, null_values=nulls).collect())


def _unzipped(path: Path) -> BytesIO:
    with ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        if len(names) != 1:
            raise _invalid(str(path), f"it holds {len(names)} files, not one")
        return BytesIO(archive.read(names[0]))


def _parquet(paths: Sequence[Path], nulls: list[str]) -> pl.LazyFrame:
    return pl.scan_parquet(list(paths), glob=False, hive_partitioning=False)


def _json_lines(paths: Sequence[Path], nulls: list[str]) -> pl.LazyFrame:
    return pl.scan_ndjson(list(paths), infer_schema_length=None)


# Types of texts. Polars' own search for them took 36 s on the 337,000 flights, whole columns at a time take 0.3 s.


def _typed(texts: pl.DataFrame) -> pl.LazyFrame:
    return pl.DataFrame([_column(column) for column in texts]).lazy()


def _column(texts: pl.Series) -> pl.Series:
    known = texts.drop_nulls()
    if not known.len():
        return texts
    for form, read in _TEXT_FORMS:
        if re.match(form, known[0]) and known.str.contains(form).all():
            values = read(texts)
            if values.null_count() == texts.null_count():
                return values
    return texts


def _moments(texts: pl.Series) -> pl.Series:
    zoned = texts.drop_nulls()[0].endswith(("Z", "z")) or "+" in texts.drop_nulls()[0]
    try:
        return texts.str.to_datetime(time_unit="us", time_zone="UTC" if zoned else None, strict=False)
    except pl.exceptions.PolarsError:
        return pl.Series(texts.name, [None] * texts.len())


_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TEXT_FORMS: Sequence[tuple[str, Callable[[pl.Series], pl.Series]]] = [
    (
        r"^-?(0|[1-9][0-9]{0,18})$",
        lambda texts: texts.cast(pl.Int64, strict=False),
    ),  # 00501 is no number: it would lose its zeros
    (
        r"^[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$|^[+-]?([Ii]nf|[Nn]a[Nn])$",
        lambda texts: texts.cast(pl.Float64, strict=False),
    ),
    (r"^([Tt]rue|[Ff]alse|TRUE|FALSE)$", lambda texts: texts.str.to_lowercase() == "true"),
    (rf"^{_DAY}$", lambda texts: texts.str.to_date("%Y-%m-%d", strict=False)),
    (rf"^{_DAY}[T ][0-9]{{2}}:[0-9]{{2}}.*$", _moments),
]


def _invalid(url: str, why: str) -> Problem:
    return Problem("source.invalid", f"The source {url} cannot be read", why, f"name files that end in one of {_FORMS}")


_READERS: Mapping[str, Callable[[Sequence[Path], list[str]], pl.LazyFrame]] = {
    ".csv": _csv,
    ".csv.gz": _csv,
    ".csv.zip": _zipped_csv,
    ".parquet": _parquet,
    ".ndjson": _json_lines,
    ".jsonl": _json_lines,
}
