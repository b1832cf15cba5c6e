import pytest

from modelyard.cli.up import read_scale
from modelyard.core import Problem
from modelyard.embedded.scaling import Scale


def test_gateways_are_a_number_or_from_one_to_another() -> None:
    assert read_scale("3", 60) == Scale(3, 3, 60)
    assert read_scale("1-4", 5) == Scale(1, 4, 5)


@pytest.mark.parametrize("text", ["", "0", "0-2", "4-1", "1-", "-4", "1-2-3", "two", "1..4", "1-300", "²"])
def test_what_is_no_number_of_gateways_is_told(text: str) -> None:
    with pytest.raises(Problem) as told:
        read_scale(text, 60)
    assert told.value.code == "gateways.invalid"
    assert "1-4" in told.value.next_step
