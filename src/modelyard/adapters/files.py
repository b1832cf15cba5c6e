"""Sources in files: CSV, Parquet, NDJSON and Arrow, by path, glob or `file://` URL."""

from urllib.parse import parse_qs, unquote, urlsplit

import polars as pl

from modelyard.core import Problem
from modelyard.core.places import local_files
from modelyard.data.table_files import ENDINGS, look, readable, together


class FileSources:
    """Reads what a path, a glob (`**` for any depth) or a `file://` URL names; files of one glob in order of their names.

    The form goes by the ending: `.csv`, `.csv.gz`, `.csv.zip` (one file in it), `.parquet`, `.ndjson`, `.jsonl`, `.arrow`,
    `.ipc`.

    In a CSV file an empty field is null; a further text that means null is said in the URL: `file:///data/flights.csv?null=NA`.
    The types of its columns are found from all their values; see `data.csv_types`.
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
        paths = local_files(pattern)
        if not paths:
            raise Problem(
                "source.missing", f"There is no file {pattern}", "the path or pattern matches nothing", "look at the path"
            )
        tables = together([path.name for path in paths], [look(path, nulls) for path in paths], nulls)
        with readable(paths[0]):
            rows = pl.concat([tables.scan(path) for path in paths])
            rows.collect_schema()
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


def _invalid(url: str, why: str) -> Problem:
    step = f"name files that end in one of {' '.join(ENDINGS)}"
    return Problem("source.invalid", f"The source {url} cannot be read", why, step)
