"""What a data scientist writes for the demo: preparation, search space, trainer."""

from typing import Any

import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelyard import Choice, Float, Int, Search, prep

TRIALS = 12
SPACE = Search(
    family=Choice(("boosting", "linear")),
    rate=Float(0.08, 0.2, log=True),
    leaves=Int(6, 16),
    weight=Float(1e-3, 10.0, log=True),
)


def clock_of_day(rows: pl.DataFrame) -> pl.DataFrame:
    """Scheduled time, which comes as in 1745, as hours since midnight, and its place on the circle of the day."""
    hours = pl.col("sched_dep_time") // 100 + pl.col("sched_dep_time") % 100 / 60
    return rows.with_columns(
        hours=hours,
        hours_sin=(hours * (2 * np.pi / 24)).sin(),
        hours_cos=(hours * (2 * np.pi / 24)).cos(),
    )


def steps() -> list[Any]:
    """Return the declared steps that follow the function step; the last one names the features."""
    return [
        prep.date_parts("flight_date", "weekday"),
        prep.ordinal("origin", "carrier", "dest"),
        prep.drop("flight_id", "departs_at", "sched_dep_time"),
    ]


def train(run: Any, fit: Any, test: Any, *, family: str, rate: float, leaves: int, weight: float) -> Any:
    """Return a classifier of one of two families, fitted on the prepared rows."""
    if family == "linear":
        model = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(C=weight, max_iter=300))
    else:
        model = HistGradientBoostingClassifier(
            learning_rate=rate,
            max_leaf_nodes=leaves,
            l2_regularization=weight,
            max_iter=50,
            max_bins=63,
            min_samples_leaf=200,
            random_state=run.seed,
        )
    return model.fit(fit.X, fit.y)
