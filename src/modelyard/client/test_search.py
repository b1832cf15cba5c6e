from typing import Any

import pytest

from modelyard.client.search import Search
from modelyard.core import Problem
from modelyard.training import Choice, Float, Int, Space


def test_ranges_of_every_form_make_one_space() -> None:
    search = Search(
        depth=range(3, 9),
        width=range(2, 9, 3),
        rate=Float(0.01, 0.3, log=True),
        leaves=Int(8, 48),
        family=["a", "b"],
        kind=Choice((1,)),
    )
    assert search.space == Space(
        floats={"rate": Float(0.01, 0.3, log=True)},
        ints={"depth": Int(3, 8), "leaves": Int(8, 48)},
        choices={"width": Choice((2, 5, 8)), "family": Choice(("a", "b")), "kind": Choice((1,))},
    )


@pytest.mark.parametrize("told", [range(0), [], "abc", 3, None, Float(2, 1), Float(0, 1, log=True), Choice(())])
def test_what_names_no_values_is_refused(told: Any) -> None:
    with pytest.raises(Problem) as caught:
        Search(depth=told)
    assert caught.value.code == "search.invalid"
    assert "depth" in caught.value.what
