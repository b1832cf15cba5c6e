from modelyard.cli.exits import EXITS, exit_code
from modelyard.core import Problem, ProblemKind


def test_every_kind_has_an_exit_code_of_its_own() -> None:
    assert set(EXITS) == set(ProblemKind)
    assert len(set(EXITS.values())) == len(EXITS)
    assert 0 not in EXITS.values()


def test_a_kind_from_a_newer_server_is_a_failure() -> None:
    assert exit_code(Problem("moon.eclipsed", "It is dark")) == EXITS[ProblemKind.FAILED]
