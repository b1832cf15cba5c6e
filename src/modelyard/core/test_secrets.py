import pytest

from modelyard.core import Problem
from modelyard.core.secrets import credentials
from modelyard.core.servers import ServerUrl

SHOP = {"MODELYARD_SECRET_SHOP": "postgresql://ann:pa%20ss@DB.example:5432?sslmode=verify-full"}


def asked(url: str, name: str = "SHOP", environment: dict[str, str] = SHOP) -> tuple[str, str, dict[str, str]]:
    found = credentials(name, ServerUrl.parse(url), 5432, environment)
    return found.user, found.password, dict(found.options)


def test_a_secret_is_given_for_its_own_server() -> None:
    expected = ("ann", "pa ss", {"sslmode": "verify-full"})
    assert asked("postgresql://db.example:5432/shop") == expected
    assert asked("postgresql://ann@db.example/shop") == expected
    assert asked("postgresql+psycopg://DB.EXAMPLE/other") == expected


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://evil.example:5432/shop",
        "postgresql://db.example:5433/shop",
        "mysql://db.example:5432/shop",
        "postgresql://db.example:5432,evil.example:5432/shop",
        "postgresql://db.example.evil.example/shop",
        "postgresql:///shop",
        "postgresql://bob@db.example/shop",
    ],
)
def test_a_secret_goes_to_no_other_server(url: str) -> None:
    with pytest.raises(Problem) as told:
        asked(url)
    assert told.value.code == "secret.refused"
    assert "pa ss" not in str(told.value)
    assert "ann" not in str(told.value)


def test_a_secret_of_several_servers_is_given_for_some_of_them() -> None:
    several = {"MODELYARD_SECRET_K": "kafka://ann:x@one:9092,two:9092"}
    found = credentials("K", ServerUrl.parse("kafka://two/topic"), 9092, several)
    assert (found.user, found.password) == ("ann", "x")


def test_a_secret_that_is_not_there_tells_how_to_set_it() -> None:
    with pytest.raises(Problem) as told:
        asked("postgresql://db.example/shop", environment={})
    assert told.value.code == "secret.missing"
    assert "MODELYARD_SECRET_SHOP=postgresql://USER:PASSWORD@db.example:5432" in told.value.next_step


@pytest.mark.parametrize(
    "value",
    ["hidden", "postgresql://ann@db.example", "postgresql://ann:hidden@db.example/shop", "postgresql://ann:hidden%@db", ""],
)
def test_a_secret_of_another_form_is_told_without_its_value(value: str) -> None:
    with pytest.raises(Problem) as told:
        asked("postgresql://db.example/shop", environment={"MODELYARD_SECRET_SHOP": value})
    assert told.value.code == "secret.invalid"
    assert "hidden" not in str(told.value)


@pytest.mark.parametrize("name", ["shop", "", "A B", "Ä", "A" * 65, "PATH\n"])
def test_a_name_of_another_form_is_refused(name: str) -> None:
    with pytest.raises(Problem) as told:
        asked("postgresql://db.example/shop", name)
    assert told.value.code == "secret.invalid"


def test_nothing_of_it_is_for_people() -> None:
    found = credentials("SHOP", ServerUrl.parse("postgresql://db.example/shop"), 5432, SHOP)
    assert "ann" not in repr(found)
    assert "pa ss" not in repr(found)
