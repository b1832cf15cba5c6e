"""Conversion between units: known pairs, there and back again, and units that measure different things."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core import Problem
from modelyard.prepare import prep, preview
from modelyard.prepare.steps.units import UNITS


@pytest.mark.parametrize(
    ("value", "unit", "to", "expected"),
    [
        (1, "mi", "km", 1.609344),
        (12, "inch", "ft", 1),
        (1, "nmi", "m", 1852),
        (1, "lb", "g", 453.59237),
        (16, "oz", "lb", 1),
        (14, "lb", "st", 1),
        (212, "F", "C", 100),
        (32, "F", "C", 0),
        (-40, "C", "F", -40),
        (0, "C", "K", 273.15),
        (0, "K", "F", -459.67),
        (36, "km/h", "m/s", 10),
        (1, "kn", "km/h", 1.852),
        (1, "ft/s", "m/s", 0.3048),
        (1, "gal", "l", 3.785411784),
        (8, "pt", "gal", 1),
        (4, "qt", "gal", 1),
        (128, "floz", "gal", 1),
        (1, "m3", "l", 1000),
        (90, "min", "h", 1.5),
        (1, "year", "d", 365.25),
        (1, "atm", "hPa", 1013.25),
        (760, "torr", "atm", 1),
        (1, "psi", "Pa", 6894.757293168),
        (1, "bar", "mbar", 1000),
    ],
)
def test_known_pairs_convert(value: float, unit: str, to: str, expected: float) -> None:
    assert preview(prep.convert("x", unit, to), x=[value])["x"] == pytest.approx([expected], rel=1e-7, abs=1e-6)


def test_volumes_are_cubes_of_lengths() -> None:
    litre = (UNITS["m"].factor / 10) ** 3
    assert UNITS["ft3"].factor * litre == UNITS["ft"].factor ** 3
    assert UNITS["gal"].factor * litre == 231 * UNITS["inch"].factor ** 3


@given(st.sampled_from(sorted(UNITS)), st.sampled_from(sorted(UNITS)), st.floats(-1e6, 1e6))
def test_there_and_back_again_is_the_same_number(unit: str, to: str, value: float) -> None:
    if UNITS[unit].quantity != UNITS[to].quantity:
        with pytest.raises(Problem, match=f"is of {UNITS[unit].quantity}"):
            prep.convert("x", unit, to)
        return
    found = preview(prep.convert("x", unit, to), prep.convert("x", to, unit), x=[value])["x"]
    assert found == pytest.approx([value], rel=1e-6, abs=1e-6)


def test_an_unknown_unit_is_told_with_the_nearest() -> None:
    with pytest.raises(Problem, match="did you mean"):
        prep.convert("x", "kmh", "m/s")
