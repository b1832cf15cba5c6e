"""The step between units of one quantity, by exact factors."""

from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from modelyard.core import missing
from modelyard.prepare.expressions import Arithmetic, Constant, Expression
from modelyard.prepare.scope import Scope
from modelyard.prepare.steps.definition import Definition, Parameter, told
from modelyard.prepare.types import DeclaredStep


@dataclass(frozen=True)
class Unit:
    """A unit: `factor` of its quantity's base unit, which stands at 0 where this one stands at `zero`."""

    quantity: str
    factor: Fraction
    zero: Fraction = Fraction(0)


def _units(quantity: str, **factors: str) -> dict[str, Unit]:
    return {name.replace("_per_", "/"): Unit(quantity, Fraction(factor)) for name, factor in factors.items()}


_INCH: Final = Fraction("0.0254")
_POUND_FORCE: Final = Fraction("0.45359237") * Fraction("9.80665")
UNITS: Final = MappingProxyType(
    _units(
        "length", mm="1/1000", cm="1/100", m="1", km="1000", inch="0.0254", ft="0.3048", yd="0.9144", mi="1609.344", nmi="1852"
    )
    | _units("mass", mg="1/1000000", g="1/1000", kg="1", t="1000", oz="0.028349523125", lb="0.45359237", st="6.35029318")
    | _units("speed", m_per_s="1", km_per_h="5/18", mph="0.44704", kn="463/900", ft_per_s="0.3048")
    | _units("volume", ml="1/1000", cl="1/100", l="1", m3="1000", floz="0.0295735295625", pt="0.473176473", qt="0.946352946")
    | _units("volume", gal="3.785411784", gal_uk="4.54609", ft3="28.316846592")
    | _units("time", us="1/1000000", ms="1/1000", s="1", min="60", h="3600", d="86400", week="604800", year="31557600")
    | _units("pressure", Pa="1", hPa="100", kPa="1000", mbar="100", bar="100000", atm="101325", torr="101325/760")
    | _units("pressure", mmHg="133.322387415", inHg="3386.388640341")
    | {"psi": Unit("pressure", _POUND_FORCE / _INCH**2)}
    | {
        "K": Unit("temperature", Fraction(1)),
        "C": Unit("temperature", Fraction(1), Fraction("-273.15")),
        "F": Unit("temperature", Fraction(5, 9), Fraction("-459.67")),
    }
)


def _convert_check(step: DeclaredStep) -> str | None:
    for name in (step.params["from"], step.params["to"]):
        if name not in UNITS:
            return missing("unit", name, UNITS).why
    first, second = (UNITS[step.params[name]].quantity for name in ("from", "to"))
    return None if first == second else f"{step.params['from']} is of {first}, and {step.params['to']} of {second}"


def _convert(step: DeclaredStep, scope: Scope) -> None:
    unit, to = UNITS[step.params["from"]], UNITS[step.params["to"]]
    factor = unit.factor / to.factor
    shift = to.zero - unit.zero * factor
    for name in step.columns:
        scope.set(name, _affine(scope.number(name, told(step)), factor, shift))


def _affine(number: Expression, factor: Fraction, shift: Fraction) -> Expression:
    """Return `number * factor + shift`, without what changes nothing."""
    scaled = number if factor == 1 else Arithmetic("*", number, Constant(float(factor)))
    return scaled if shift == 0 else Arithmetic("-", scaled, Constant(float(-shift)))


CONVERSIONS: Final = (
    Definition("convert", _convert, check=_convert_check, parameters=(Parameter("from", (str,)), Parameter("to", (str,)))),
)
