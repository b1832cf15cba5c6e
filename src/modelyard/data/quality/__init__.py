"""Promises about rows and batches: each function returns a `Check`, to give to a dataset or a pipeline.

What a row's value does in each kind of check:

- null passes every check but `not_null`: a promise about values says nothing of a value that is not known;
- NaN is no value: it fails `not_null`, `finite`, `between`, `not_after` and `not_before`, and passes `one_of` only when listed;
- of rows that are alike, `unique` lets the first one pass; rows with a null among the columns are not compared.
"""

from modelyard.data.quality.batches import (
    distinct_between,
    dtype,
    fresh,
    mean_between,
    no_new_columns,
    row_count,
    row_count_like_history,
    same_schema,
    share_null,
)
from modelyard.data.quality.code import code_of
from modelyard.data.quality.kinds import Scope, check_columns, scope_of, told, verify
from modelyard.data.quality.rows import (
    between,
    blocking,
    finite,
    increasing,
    length_between,
    matches,
    not_after,
    not_before,
    not_null,
    one_of,
    unique,
    warning,
)
from modelyard.data.quality.suggestions import Suggestion, suggest

__all__ = [
    "Scope",
    "Suggestion",
    "between",
    "blocking",
    "check_columns",
    "code_of",
    "distinct_between",
    "dtype",
    "finite",
    "fresh",
    "increasing",
    "length_between",
    "matches",
    "mean_between",
    "no_new_columns",
    "not_after",
    "not_before",
    "not_null",
    "one_of",
    "row_count",
    "row_count_like_history",
    "same_schema",
    "scope_of",
    "share_null",
    "suggest",
    "told",
    "unique",
    "verify",
    "warning",
]
