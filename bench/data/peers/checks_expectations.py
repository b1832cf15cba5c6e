"""A batch judged by Great Expectations on pandas: `python -m bench.data.peers.checks_expectations FILE`."""

# mypy: disable-error-code="import-not-found, misc"

import sys
from datetime import datetime

import great_expectations as gx
import great_expectations.expectations as gxe
import numpy as np
import pandas as pd

from bench.data.arrays import keep_array
from bench.data.side import take_turns


def main() -> None:
    """Judge as often as asked."""
    rows = pd.read_parquet(sys.argv[1])
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("flights")
    definition = asset.add_batch_definition_whole_dataframe("batch")
    now = datetime.now()
    suite = gx.ExpectationSuite(
        "flights",
        expectations=[
            gxe.ExpectColumnValuesToBeUnique(column="id"),
            gxe.ExpectColumnValuesToNotBeNull(column="origin"),
            gxe.ExpectColumnValuesToNotBeNull(column="dest"),
            gxe.ExpectColumnValuesToBeInSet(column="origin", value_set=["JFK", "LGA", "EWR"]),
            gxe.ExpectColumnValuesToBeInSet(column="carrier", value_set=["AA", "B6", "DL", "UA"]),
            gxe.ExpectColumnValuesToMatchRegex(column="tail", regex="^N[0-9]+$"),
            gxe.ExpectColumnValueLengthsToEqual(column="dest", value=3),
            gxe.ExpectColumnValuesToBeBetween(column="delay", min_value=-500, max_value=3_000),
            gxe.ExpectColumnValuesToBeBetween(column="distance", min_value=1, max_value=10_000),
            gxe.ExpectColumnValuesToBeBetween(column="seats", min_value=1, max_value=900),
            gxe.ExpectColumnValuesToBeBetween(column="fare", min_value=0, max_value=5_000),
            gxe.ExpectColumnValuesToBeBetween(column="at", max_value=now),
        ],
    )

    def judged() -> tuple[pd.DataFrame, pd.DataFrame]:
        found = definition.get_batch({"dataframe": rows}).validate(suite, result_format="COMPLETE")
        reasons: dict[int, list[str]] = {}
        for one in found.results:
            for place in one.result["unexpected_index_list"] or ():
                reasons.setdefault(place, []).append(one.expectation_config.type)
        places = np.sort(np.fromiter(reasons, dtype=np.int64))
        bad = rows.iloc[places].assign(reasons=[reasons[place] for place in places])
        return rows[~rows.index.isin(places)], bad

    take_turns(judged, lambda made, path: keep_array(made[1].index.to_numpy(), path))


if __name__ == "__main__":
    main()
