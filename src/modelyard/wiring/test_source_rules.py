import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from modelyard.adapters import open_source
from modelyard.core import Problem
from modelyard.data.sources import Ask
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


def test_a_croissant_file_leads_to_nothing_that_may_not_be_named(settings: Settings, tmp_path: Path) -> None:
    secret = tmp_path / "home" / "secret.csv"
    secret.write_text("a\n1\n")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "data.csv").symlink_to(secret)
    file = {"@id": "f", "contentUrl": "data.csv", "sha256": sha256(secret.read_bytes()).hexdigest()}
    fields = [{"name": "a", "source": {"fileObject": {"@id": "f"}, "extract": {"column": "a"}}}]
    metadata = {"distribution": [file], "recordSet": [{"@id": "r", "field": fields}]}
    (tmp_path / "in" / "croissant.json").write_text(json.dumps(metadata))
    url = f"{tmp_path}/in/croissant.json"
    with open_source(url).read(Ask()) as reading:
        assert [frame.height for frame in reading.frames] == [1], "it is the server's rules that keep it out"
    with pytest.raises(Problem) as refused, allowed_sources(settings, open_source)(url).read(Ask()):
        pass
    assert refused.value.code == "source.forbidden"
    listed = replace(settings, sources=f"file://{tmp_path}/in")
    file["contentUrl"] = "https://data.example/data.csv"
    (tmp_path / "in" / "croissant.json").write_text(json.dumps(metadata))
    with pytest.raises(Problem, match="sources"), allowed_sources(listed, open_source)(url).read(Ask()):
        pass
    assert code(listed, f"croissant+file://{tmp_path}/home/x.json") == "source.forbidden"
