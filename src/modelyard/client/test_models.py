from pathlib import Path

import pytest

from modelyard.client.models import files_of
from modelyard.core import Problem


def test_a_file_is_itself_and_a_folder_its_files_by_their_paths(tmp_path: Path) -> None:
    (tmp_path / "saved" / "data").mkdir(parents=True)
    (tmp_path / "saved" / ".git").mkdir()
    for path in ("MLmodel", "data/model.ubj", ".git/config", ".hidden"):
        (tmp_path / "saved" / path).write_bytes(path.encode())
    assert files_of(tmp_path / "saved") == {"MLmodel": b"MLmodel", "data/model.ubj": b"data/model.ubj"}
    assert files_of(tmp_path / "saved" / "MLmodel") == {"MLmodel": b"MLmodel"}


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="cannot be read") as told:
        files_of(tmp_path / "none.onnx")
    assert told.value.code == "file.missing"
