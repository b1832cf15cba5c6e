"""The JSON types, and the one canonical text of a JSON value."""

import json
from collections.abc import Mapping
from typing import Any

# A recursive alias would say it exactly, but OpenAPI cannot be derived from one before Python 3.12's `type` statement.
Json = Any
JsonObject = Mapping[str, Any]


def canonical_json(value: Json) -> str:
    """Return the one text of `value`: sorted keys, no spaces, no NaN or infinity.

    Equal values give equal texts, so the text can be digested.

    Raises
    ------
    ValueError
        For NaN or infinity, which JSON does not have.

    >>> canonical_json({"b": [1, 2.5], "a": None})
    '{"a":null,"b":[1,2.5]}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
