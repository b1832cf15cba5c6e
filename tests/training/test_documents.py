from dataclasses import replace

import pytest

from modelyard.core import Problem
from modelyard.data import Severity, quality
from modelyard.jobs import Limits
from modelyard.prepare import Code, Pipeline, prep
from modelyard.training import Direction, Trainer
from modelyard.training.documents import trainer_from_json, trainer_to_json

CODE = Code("def train(run, fit, test):\n    return None\n", "train")
BARE = Trainer("late", CODE, Pipeline((prep.drop("id"),)), "late", "log_loss", Direction.MINIMISE)


def test_a_trainer_without_checks_reads_as_those_that_were_kept_before_there_were_any() -> None:
    document = trainer_to_json(BARE)
    assert "checks" not in document
    assert trainer_from_json(document) == BARE


def test_the_checks_of_a_trainer_come_back_and_must_be_of_its_rows() -> None:
    checks = (quality.warning(quality.between("wind", 0, None)), quality.row_count(1, 9))
    checked = Trainer("late", CODE, BARE.pipeline, "late", "log_loss", Direction.MINIMISE, checks=checks)
    document = trainer_to_json(checked)
    assert trainer_from_json(document) == checked
    assert checks[1].severity is Severity.BLOCK
    foreign = {"kind": "same_schema", "columns": [], "params": {}, "severity": "block"}
    with pytest.raises(Problem, match="give the check to the dataset"):
        trainer_from_json({**document, "checks": [foreign]})


def test_a_trainer_without_a_limit_of_disk_is_written_as_before_there_was_one() -> None:
    assert trainer_to_json(BARE)["limits"] == {"time_s": BARE.limits.time_s, "memory_mb": BARE.limits.memory_mb}
    bounded = replace(BARE, limits=Limits(None, None, 5))
    assert trainer_from_json(trainer_to_json(bounded)) == bounded
