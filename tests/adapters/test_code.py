"""Models that are code, opened from the archive that is kept of them."""

import pickle
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from modelyard.adapters.code import CodeFramework
from modelyard.core import Problem
from modelyard.core.archives import pack
from modelyard.testing.framework import Marker
from tests.runner_steps.code_models import FOLDER, scores

FRAMEWORK = CodeFramework()
PACKAGE = "modelyard_unpacked_"
ROWS = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, content in FOLDER.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    pack(tmp_path, FOLDER, tmp_path / "kept")
    return tmp_path / "kept"


def test_two_of_the_same_folder_are_two_packages_and_a_forgotten_one_leaves_nothing(archive: Path) -> None:
    first, second = FRAMEWORK.load(archive), FRAMEWORK.load(archive)
    assert type(first.made) is not type(second.made)
    assert not FRAMEWORK.owns(first), "no trainer's model is one"
    assert np.array_equal(FRAMEWORK.run(first, {"pixels": ROWS})["scores"], scores(ROWS))
    FRAMEWORK.save(first, archive.with_name("again"))
    assert archive.with_name("again").read_bytes() == archive.read_bytes()
    assert len([name for name in sys.modules if name.startswith(PACKAGE)]) == 4, "model and weights, twice"
    del first, second
    assert [name for name in sys.modules if name.startswith(PACKAGE)] == []
    assert list((archive.parent / "tmp").iterdir()) == []


def test_a_file_that_is_no_archive_runs_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "unpickled"
    for content in (b"", b"PK\x03\x04", b"import os", pickle.dumps(Marker(marker))):
        (tmp_path / "hostile").write_bytes(content)
        with pytest.raises(Problem) as told:
            FRAMEWORK.load(tmp_path / "hostile")
        assert told.value.code == "model.invalid"
    assert not marker.exists()


def test_what_only_a_matrix_has_is_refused_in_words(archive: Path) -> None:
    model = FRAMEWORK.load(archive)
    with pytest.raises(Problem, match="one matrix"):
        FRAMEWORK.predict(model, ROWS)
    with pytest.raises(Problem, match="ONNX"):
        FRAMEWORK.to_onnx(model, 4)
