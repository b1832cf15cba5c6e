from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core.servers import ServerUrl

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def test_each_part_is_found() -> None:
    found = ServerUrl.parse("mysql+pymysql://ann:pa%20ss%40@One.example:3306,[::1]:5432/a/b%2Fc?x=1%262&y=a+b&z")
    assert (found.scheme, found.user, found.password) == ("mysql+pymysql", "ann", "pa ss@")
    assert (found.servers, found.path) == (("one.example:3306", "[::1]:5432"), "a/b/c")
    assert found.options == {"x": "1&2", "y": "a+b", "z": ""}


@given(user=TEXT, password=TEXT, path=TEXT, options=st.dictionaries(TEXT, TEXT))
def test_what_was_written_in_percent_is_read(user: str, password: str, path: str, options: dict[str, str]) -> None:
    told = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in options.items())
    found = ServerUrl.parse(f"kafka://{quote(user, safe='')}:{quote(password, safe='')}@one:1/{quote(path, safe='')}?{told}")
    assert (found.user, found.password, found.path, found.options) == (user, password, path, options)


@pytest.mark.parametrize(
    "url",
    [
        "flights.csv",
        "://db/x",
        "postgresql://db:port/x",
        "postgresql://db:99999/x",
        "postgresql://:5432/x",
        "postgresql://one,,two/x",
        "postgresql://%2Fvar%2Frun/x",
        "postgresql://db/x?a=1&a=2",
        "postgresql://db/x?query=SELECT 5 % 2",
        "postgresql://db/x?a=%ff",
        "postgresql://db/x?a=%00",
        "postgresql://db/\udc80",
    ],
)
def test_another_form_is_refused_and_its_password_not_told(url: str) -> None:
    with pytest.raises(ValueError) as told:
        ServerUrl.parse(url.replace("//", "//ann:hidden@", 1))
    assert "hidden" not in str(told.value)


def test_only_the_place_is_for_people() -> None:
    found = ServerUrl.parse("postgresql://ann:hidden@db:1/x?sslpassword=hidden")
    assert found.place == "postgresql://db:1/x"
    assert "hidden" not in f"{found} {found!r}"


def test_a_port_that_is_not_said_is_the_usual_one() -> None:
    assert ServerUrl.parse("kafka://one,two:2,[::1]/x").servers_at(9092) == ("one:9092", "two:2", "[::1]:9092")
