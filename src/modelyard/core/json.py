"""The JSON types, and the one canonical text of a JSON value."""

import json
from collections.abc import Mapping, Sequence

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
JsonObject = Mapping[str, Json]


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
