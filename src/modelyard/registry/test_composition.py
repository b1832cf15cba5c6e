"""What a combined version takes and gives, from what its parts take and give."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from modelyard.core import Problem
from modelyard.data import Column
from modelyard.data.features import Features, Lookup
from modelyard.registry import Combining, Composition, ModelVersion, Part, Signature
from modelyard.registry.composition import compose, router_output, takes_tensors
from modelyard.testing import examples

PROBABILITY = {"probability": "Float64"}


def version(inputs: Mapping[str, str], outputs: Mapping[str, str] = PROBABILITY, *, tensors: bool = False) -> ModelVersion:
    """Return a version with this signature, which is not combined."""
    taken, given = (tuple(Column(name, dtype) for name, dtype in columns.items()) for columns in (inputs, outputs))
    pipeline = None if tensors else examples.DIGEST
    return replace(examples.model_version(), signature=Signature(taken, given), pipeline=pipeline, composition=None)


def made(
    rule: Combining, *parts: ModelVersion, head: ModelVersion | None = None, **rest: object
) -> tuple[Composition, Signature]:
    """Compose versions that are called a, b, c in their order."""
    members = tuple(Part("m", place, name) for place, name in zip(range(1, len(parts) + 1), "abcdef", strict=False))
    wish = Composition(rule, members, Part("h", 9, "h") if head else None, **rest)  # type: ignore[arg-type]  # given by name
    return compose(wish, [*parts, *([head] if head else [])])


def columns(signature: Signature) -> tuple[dict[str, str], dict[str, str]]:
    """Return inputs and outputs by name."""
    return {one.name: one.dtype for one in signature.inputs}, {one.name: one.dtype for one in signature.outputs}


def refused(rule: Combining, *parts: ModelVersion, **rest: object) -> str:
    """Return why parts do not fit."""
    with pytest.raises(Problem) as told:
        made(rule, *parts, **rest)  # type: ignore[arg-type]  # as above
    assert told.value.code == "composition.invalid"
    return str(told.value)


def test_inputs_are_those_of_all_and_numbers_as_wide_as_the_widest() -> None:
    one = version({"wind": "Float32", "place": "String"})
    two = version({"at": "Datetime[UTC]", "wind": "Float64", "seats": "Int64"})
    composition, signature = made(Combining.MEAN, one, two)
    assert columns(signature)[0] == {"wind": "Float64", "place": "String", "at": "Datetime[UTC]", "seats": "Int64"}
    assert not composition.tensors
    assert not takes_tensors(replace(one, pipeline=None, composition=composition))


def test_a_version_that_looks_features_up_is_no_part() -> None:
    lookup = Lookup("weather", ("wind",), ("place",), ("place",), "at")
    looking = replace(version({"place": "String"}), features=Features((lookup,), (Column("wind", "Float64"),), "at"))
    assert "looks up features" in refused(Combining.MEAN, version({"place": "String"}), looking)


@pytest.mark.parametrize(("one", "two"), [("Int64", "Float64"), ("String", "Date"), ("Datetime", "Datetime[UTC]")])
def test_parts_that_disagree_about_an_input_are_refused(one: str, two: str) -> None:
    told = refused(Combining.MEAN, version({"x": one}), version({"x": two}))
    assert f"it is {one} to m@1 and {two} to m@2" in told


@pytest.mark.parametrize(
    ("one", "two", "both"),
    [
        ("Float32", "Float64", "Float64"),
        ("Array[Float32, ?x2]", "Array[Float32, 3x2]", "Array[Float32, 3x2]"),
        ("Array[Int8, 2]", "Array[Int32, 2]", "Array[Int32, 2]"),
        ("String", "String", "String"),
        ("Array[Float32, 2]", "Array[Float32, 3]", None),
        ("Float32", "Array[Float32, 3]", None),
        ("Int8", "Float32", None),
    ],
)
def test_tensors_are_as_wide_as_the_widest_and_as_free_as_the_strictest(one: str, two: str, both: str | None) -> None:
    parts = [version({"x": dtype}, {"y": "Float32"}, tensors=True) for dtype in (one, two)]
    if both is None:
        assert "disagree about the input 'x'" in refused(Combining.MEAN, *parts)
        return
    composition, signature = made(Combining.MEAN, *parts)
    assert composition.tensors
    assert columns(signature) == ({"x": both}, {"y": "Float64"})


def test_a_tensor_of_plain_values_is_a_raw_column_beside_others_and_an_array_is_not() -> None:
    prepared = version({"x": "Float64", "n": "Int64"})
    plain = version({"x": "Float32", "n": "UInt8", "ok": "Boolean"}, {"p": "Float32"}, tensors=True)
    composition, signature = made(Combining.MEAN, prepared, plain)
    assert columns(signature)[0] == {"x": "Float64", "n": "Int64", "ok": "Boolean"}
    assert not composition.tensors
    for odd in ("Array[Float32, 2]", "UInt64"):
        assert "m@2 cannot be asked beside the others" in refused(
            Combining.MEAN, prepared, version({"odd": odd}, {"p": "Float32"}, tensors=True)
        )


def test_means_go_by_numbers_of_floating_point() -> None:
    labelled = version({"x": "Float32"}, {"label": "String", "shares": "Array[Float32, 3]"}, tensors=True)
    assert columns(made(Combining.MEAN, labelled, labelled)[1])[1] == {"shares": "Array[Float64, 3]"}
    assert columns(made(Combining.VOTE, labelled, labelled)[1])[1] == {"shares": "Array[Float64, 3]"}
    routed = made(
        Combining.ROUTE, labelled, labelled, head=version({"x": "Float32"}, {"n": "Int64"}, tensors=True), limits=(1.0,)
    )
    assert columns(routed[1])[1] == {"label": "String", "shares": "Array[Float32, 3]"}
    only_labels = version({"x": "Float32"}, {"label": "Int64"}, tensors=True)
    assert "has no numbers to combine" in refused(Combining.MEAN, only_labels, only_labels)


def test_outputs_of_one_each_match_whatever_their_names_but_a_probability_is_no_value() -> None:
    one, other = version({"x": "Float64"}), version({"x": "Float64"}, {"p": "Float64"})
    assert columns(made(Combining.MEAN, one, other)[1])[1] == PROBABILITY
    value = version({"x": "Float64"}, {"value": "Float64"})
    assert "cannot be combined with the others'" in refused(Combining.MEAN, one, value)
    three = version({"x": "Float64"}, {f"probability_{n}": "Float64" for n in range(3)})
    two = version({"x": "Float64"}, {f"probability_{n}": "Float64" for n in range(2)})
    assert columns(made(Combining.VOTE, three, three)[1])[1] == {f"probability_{n}": "Float64" for n in range(3)}
    assert "cannot be combined with the others'" in refused(Combining.MEAN, three, two)


def test_a_vote_is_about_classes() -> None:
    value = version({"x": "Float64"}, {"value": "Float64"})
    assert columns(made(Combining.MEAN, value, value)[1])[1] == {"value": "Float64"}
    assert "The members cannot vote" in refused(Combining.VOTE, value, value)
    picture = version({"x": "Float32"}, {"y": "Array[Float32, 2x2]"}, tensors=True)
    assert "The members cannot vote" in refused(Combining.VOTE, picture, picture)


def test_a_stack_asks_callers_for_what_is_no_members_answer() -> None:
    encoder = version({"image": "Array[Float32, 2x2]"}, {"code": "Array[Float32, 8]"}, tensors=True)
    head = version({"a": "Array[Float32, ?]"}, {"y": "Float32"}, tensors=True)
    composition, signature = made(Combining.STACK, encoder, head=head)
    assert columns(signature) == ({"image": "Array[Float32, 2x2]"}, {"y": "Float32"})
    assert composition.tensors
    sums = version({"image": "Array[Float32, 2x2]"}, {"low": "Float32", "high": "Float32"}, tensors=True)
    composition, signature = made(Combining.STACK, sums, head=version({"a.low": "Float64", "a.high": "Float64"}))
    assert columns(signature) == ({"image": "Array[Float32, 2x2]"}, PROBABILITY)
    assert composition.tensors, "the last one prepares only what the first has made"
    raw = version({"wind": "Float64"})
    assert columns(made(Combining.STACK, raw, head=version({"a": "Float64", "fog": "Float64"}))[1])[0] == {
        "wind": "Float64",
        "fog": "Float64",
    }


def test_a_stack_that_cannot_hand_on_is_refused() -> None:
    raw = version({"wind": "Float64"})
    assert "h@9 does nothing with m@2" in refused(Combining.STACK, raw, raw, head=version({"a": "Float64"}))
    assert "h@9 cannot take 'a'" in refused(Combining.STACK, raw, head=version({"a": "String"}))
    assert "h@9 cannot take 'a'" in refused(Combining.STACK, raw, head=version({"a": "Int64"}))
    assert "Two columns have one name" in refused(Combining.STACK, version({"a": "Float64"}), head=version({"a": "Float64"}))


def test_a_router_gives_one_number_a_row() -> None:
    assert router_output(version({}, {"label": "Int64"}).signature, "r@1") == "label"
    assert router_output(version({}, {"label": "Int64", "p": "Float32", "all": "Array[Float32, 3]"}).signature, "r@1") == "p"
    for outputs in ({"label": "String"}, {"p": "Float32", "q": "Float32"}, {"all": "Array[Float32, 3]"}):
        with pytest.raises(Problem) as told:
            router_output(version({}, outputs).signature, "r@1")
        assert "r@1 cannot be a router" in str(told.value)
