"""The pages on data run as they stand."""

from pathlib import Path

import pytest

from tests.journeys.pages import run_page

TOLD = {
    "data/sources.md": [
        "orders@1 2",
        "orders@2 3 1",
        "orders@2",
        "True",
        "[Int64, Datetime(time_unit='us', time_zone='UTC'), Decimal(precision=9, scale=2)]",
    ],
    "data/files.md": ["[(1, '00501', 4.5), (2, '10001', None), (3, '10002', -1.0)]"],
    "data/http.md": ["its digest is not known", "2", "source.invalid"],
    "data/delta.md": ["2", "3", "2"],
    "data/sqlite.md": [
        "2 [Int64, Datetime(time_unit='us', time_zone='UTC'), Decimal(precision=9, scale=2), String]",
        "3",
        "2",
    ],
    "data/four-systems.md": [
        "{'customers': 1000, 'orders': 12000, 'sessions': 8000, 'left': 1000}",
        "training@1 1000 ['customer', 'asked_at', 'churned', 'plan', 'paid', 'pages']",
        "['*.csv', '1.csv', '2.csv', '3.csv', '4.csv', '5.csv', '6.csv', 'customers', 'left.csv', 'sessions']",
    ],
    "data/croissant.md": [
        "orders/croissant.json ['croissant.json', 'orders.parquet']",
        "True ['croissant.json', 'orders.parquet']",
    ],
    "data/openlineage.md": [
        "START dataset.take_in.orders ['dataset/orders']",
        "COMPLETE dataset.take_in.orders ['dataset/orders']",
        "START dataset.check.orders []",
        "COMPLETE dataset.check.orders []",
    ],
    "operate/retention.md": [
        "4 kept",
        "3 dropped",
        "2 held size@1 is champion",
        "1 dropped",
        "2 True",
        "dataset_version.dropped",
        "True 400",
    ],
    "data/lineage.md": [
        "source november.csv",
        "dataset_version customers v1",
        "run train 1",
        "model_version churn@1",
        "deployment churn",
        "predictions 2 by churn@1 in churn",
        "november.csv in churn@1",
        "['customers v1', 'november.csv']",
    ],
}


@pytest.mark.parametrize("page", TOLD)
def test_a_page_runs(page: str, tmp_path: Path) -> None:
    assert run_page(page, tmp_path) == TOLD[page]
