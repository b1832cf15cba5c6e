"""Names of datasets, held against those of OpenLineage's own package."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openlineage.client.naming.dataset import S3, DatasetNaming, Kafka, LocalFileSystem, MySQL, Oracle, Postgres

from modelyard.serving.openlineage.naming import DatasetName, name_of_url

ONES: list[tuple[str, DatasetNaming]] = [
    ("postgresql://ann@DB.example/shop?table=orders&secret=SHOP", Postgres("db.example", "5432", "shop", "public", "orders")),
    ("postgresql://db:5433/shop?table=sales.orders", Postgres("db", "5433", "shop", "sales", "orders")),
    ("mysql+pymysql://ann@db/shop?table=orders", MySQL("db", "3306", "shop", "orders")),
    ("oracle+oracledb://db/service?table=sales.orders", Oracle("db", "1521", "service", "sales", "orders")),
    ("kafka://one:9092,two:9092/orders?format=json", Kafka("one", "9092", "orders")),
    ("kafka://one/orders", Kafka("one", "9092", "orders")),
    ("s3://lake/in/january.csv?region=eu", S3("lake", "in/january.csv")),
    ("delta+s3://lake/tables/orders", S3("lake", "tables/orders")),
    ("file:///data/a%20b.csv?null=NA", LocalFileSystem("/data/a b.csv")),
    ("/data/flights.csv", LocalFileSystem("/data/flights.csv")),
    ("croissant+file:///data/croissant.json#records=orders", LocalFileSystem("/data/croissant.json")),
    ("delta+file:///lake/orders", LocalFileSystem("/lake/orders")),
]


@pytest.mark.parametrize(("url", "theirs"), ONES)
def test_a_source_is_called_what_openlineage_calls_it(url: str, theirs: DatasetNaming) -> None:
    assert name_of_url(url) == DatasetName(theirs.get_namespace(), theirs.get_name())


def test_a_table_of_a_sqlite_file_lies_below_the_file() -> None:
    name = name_of_url("sqlite:////data/shop.db?table=orders")
    assert name == DatasetName("file", "/data/shop.db/orders")
    assert DatasetName("file", "/data/shop.db") in list(name.folders())


@given(st.text(max_size=60), st.sampled_from(["", "postgresql://", "s3://", "kafka://", "file://", "https://", "x+y://["]))
def test_whatever_is_said_to_be_a_source_has_a_name_or_none(text: str, scheme: str) -> None:
    found = name_of_url(scheme + text)
    assert found is None or found.namespace


def test_nothing_secret_is_in_a_name() -> None:
    for url in ("https://ann:hidden@data.example/a.csv", "s3://lake/a?key=hidden", "mysql://ann:hidden@db/shop?table=t"):
        assert "hidden" not in repr(name_of_url(url))
        assert "ann" not in repr(name_of_url(url))
