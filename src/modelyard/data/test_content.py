from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import product

import polars as pl
import pytest

from modelyard.core import Digest
from modelyard.data.content import BLOCK_ROWS, batch_digest, block_digests, chain, joined_digest
from modelyard.data.schema import schema_of

ROWS = pl.DataFrame(
    {
        "id": [1, 2, None, 4],
        "name": ["a", "", None, "ä"],
        "share": [0.5, float("nan"), None, -0.0],
        "small": pl.Series([1.5, None, 2.5, 3.5], dtype=pl.Float32),
        "on": [True, None, False, True],
        "day": [date(2013, 1, 1), None, date(2013, 1, 3), date(2013, 1, 4)],
        "at": [datetime(2013, 1, 1, tzinfo=UTC)] * 4,
        "list": [[1, None], [], None, [3]],
        "struct": [{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}, {"a": 4, "b": None}],
        "bytes": [b"a", b"", None, b"\xff"],
        "price": [Decimal("1.10"), None, Decimal("2.20"), Decimal("3.30")],
    }
)


def test_a_digest_is_the_same_on_every_machine_and_in_every_release() -> None:
    assert batch_digest(ROWS) == "sha256:280979b19acb570edaa8cc7a0a347d5fed9d28acbe8eaa46813ac2dd86a3b503"


def test_chunks_leave_no_trace() -> None:
    long = pl.concat([ROWS] * 40_000, rechunk=True)
    pieces = pl.concat([long[:7], long[7:100_001], long[100_001:]], rechunk=False)
    assert pieces["id"].n_chunks() == 3
    assert batch_digest(pieces) == batch_digest(long)


def test_parts_that_begin_at_blocks_can_be_digested_apart() -> None:
    long = pl.concat([ROWS] * 50_000)
    parts = [block_digests(long.slice(start, 2 * BLOCK_ROWS)) for start in range(0, long.height, 2 * BLOCK_ROWS)]
    blocks = [[one for part in parts for one in part[place]] for place in range(long.width)]
    assert joined_digest(long.height, schema_of(long).columns, blocks) == batch_digest(long)


@pytest.mark.parametrize("column", ROWS.columns)
def test_every_value_counts(column: str) -> None:
    found: dict[str, Digest] = {}
    for row, other in product(range(ROWS.height), repeat=2):
        values = ROWS[column].to_list()
        values[row] = values[other]
        changed = ROWS.with_columns(pl.Series(column, values, dtype=ROWS[column].dtype))
        found[repr(values)] = batch_digest(changed)
    assert len(set(found.values())) == len(found)


def test_order_names_and_types_count() -> None:
    assert (
        len(
            {
                batch_digest(ROWS),
                batch_digest(ROWS.reverse()),
                batch_digest(ROWS.select(reversed(ROWS.columns))),
                batch_digest(ROWS.rename({"id": "key"})),
                batch_digest(ROWS.with_columns(pl.col("id").cast(pl.Int32))),
                batch_digest(ROWS.head(0)),
            }
        )
        == 6
    )


def test_text_does_not_run_over_from_row_to_row() -> None:
    assert batch_digest(pl.DataFrame({"x": ["ab", "c"]})) != batch_digest(pl.DataFrame({"x": ["a", "bc"]}))


def test_every_nan_is_one_nan_and_minus_zero_is_another_zero() -> None:
    odd = pl.Series("x", [0x7FF8000000000001], dtype=pl.UInt64).reinterpret(dtype=pl.Float64)
    assert batch_digest(pl.DataFrame([odd])) == batch_digest(pl.DataFrame({"x": [float("nan")]}))
    assert batch_digest(pl.DataFrame({"x": [0.0]})) != batch_digest(pl.DataFrame({"x": [-0.0]}))


def test_a_chain_says_what_came_before() -> None:
    one, two = batch_digest(ROWS), batch_digest(ROWS.reverse())
    assert len({chain(None, one), chain(None, two), chain(chain(None, one), two), chain(chain(None, two), one), one}) == 5
    assert chain(Digest("sha256:a"), one) == chain(Digest("sha256:a"), one)
