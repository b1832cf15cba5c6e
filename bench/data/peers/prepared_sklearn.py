"""Rows prepared by scikit-learn: `python -m bench.data.peers.prepared_sklearn FILE ROWS`."""

import sys

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from bench.data.arrays import keep_array
from bench.data.side import take_turns

FITTED_ROWS = 20_000  # as `bench.data.preparation` has it


def main() -> None:
    """Prepare a pandas frame."""
    table = pd.read_parquet(sys.argv[1])
    rows = table.head(int(sys.argv[2]))
    is_number = [dtype == np.float64 for dtype in table.dtypes]
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    categories = OneHotEncoder(sparse_output=False, handle_unknown="ignore", dtype=np.float32)
    names = (table.columns[is_number], table.columns[[not one for one in is_number]])
    transformer = ColumnTransformer([("numbers", numbers, names[0]), ("categories", categories, names[1])])
    transformer.fit(table.head(FITTED_ROWS))
    take_turns(lambda: transformer.transform(rows), keep_array)


if __name__ == "__main__":
    main()
