from dataclasses import replace
from pathlib import Path

import pytest

from modelyard.adapters import open_source
from modelyard.core import Problem
from modelyard.wiring.settings import Settings, read_settings
from modelyard.wiring.source_rules import allowed_sources


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "home").mkdir()
    return read_settings(home=tmp_path / "home", environment={}, folder=tmp_path)


def code(settings: Settings, url: str) -> str:
    try:
        allowed_sources(settings, open_source)(url)
    except Problem as problem:
        return problem.code
    return "open"


def test_what_the_server_keeps_for_itself_is_no_source(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "home")
    elsewhere = replace(settings, lake="s3://lake/yard?region=eu-central-1", metadata="postgresql+psycopg://yard:x@db/yard")
    for url in (
        f"delta+file://{tmp_path}/home/lake/project_1/datasets/pay",
        f"file://{tmp_path}/home/../home/lake/**/*.parquet",
        f"{tmp_path}/link/metadata.sqlite.csv",
        f"sqlite:///{tmp_path}/home/metadata.sqlite?table=token",
        f"{tmp_path}/**/*.parquet",
        f"file://{tmp_path}",
        "s3://LAKE/yard/project_1/x.parquet",
        "delta+s3://lake/yard/project_1/datasets/pay?endpoint=http://there",
        "postgresql://ann@db:5432/yard?table=token",
    ):
        assert code(elsewhere, url) == "source.forbidden", url
    for url in (
        f"{tmp_path}/*.parquet",
        f"{tmp_path}/home/data/x.csv",
        f"{tmp_path}/other/x.csv",
        "s3://lake/other/x.csv",
        "postgresql://ann@db/shop?table=t",
    ):
        assert code(elsewhere, url) == "open", url


def test_where_a_list_is_set_nothing_else_is_read(settings: Settings, tmp_path: Path) -> None:
    listed = replace(settings, sources=f"file://{tmp_path}/data, s3://lake/in https://data.example postgresql://db")
    for url in (
        f"{tmp_path}/data/*.csv",
        "s3://lake/in/2013/*.csv",
        "https://data.example/x.csv#sha256=0",
        "postgresql://ann@db:5432/shop?table=t",
    ):
        assert code(listed, url) == "open", url
    for url in (
        f"{tmp_path}/data2/x.csv",
        f"{tmp_path}/data/../x.csv",
        "s3://lake/inner/x.csv",
        "s3://lake/in/../x.csv",
        "https://data.example.evil/x.csv",
        "https://data.example@evil/x.csv",
        "http://data.example/x.csv",
        "postgresql://db:5433/shop?table=t",
        "kafka://broker:9092/clicks",
    ):
        assert code(listed, url) == "source.forbidden", url
