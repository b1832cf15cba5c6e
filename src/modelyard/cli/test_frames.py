from pathlib import Path

import polars as pl
import pytest

from modelyard.cli.frames import FORMS, read_frame, write_frame
from modelyard.core import Problem

ROWS = pl.DataFrame({"id": ["a", "b"], "value": [1.5, None]})


@pytest.mark.parametrize("form", FORMS)
def test_rows_come_back_from_every_form(tmp_path: Path, form: str) -> None:
    path = tmp_path / "deep" / f"rows{form}"
    write_frame(ROWS, path)
    assert read_frame(path).equals(ROWS)


def test_what_cannot_be_read_or_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_text("no parquet")
    (tmp_path / "rows.xlsx").touch()
    for name, code in (("rows.parquet", "file.invalid"), ("rows.xlsx", "file.invalid"), ("row.parquet", "file.missing")):
        with pytest.raises(Problem) as caught:
            read_frame(tmp_path / name)
        assert caught.value.code == code
    with pytest.raises(Problem) as caught:
        write_frame(ROWS, tmp_path / "rows.xlsx" / "rows.csv")
    assert caught.value.code == "file.unavailable"
