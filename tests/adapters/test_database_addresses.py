"""What the URLs of databases say, and what they may not: no password, no other server."""

from datetime import UTC
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.adapters import open_source
from modelyard.adapters.databases.address import Address
from modelyard.adapters.databases.bookmark import Bookmark
from modelyard.adapters.databases.dialects import DialectSource
from modelyard.core import Problem

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(names=st.lists(NAMES, min_size=1, max_size=2))
def test_every_name_can_be_written(names: list[str]) -> None:
    written = ".".join('"' + name.replace('"', '""') + '"' for name in names)
    assert Address.parse(f"postgresql://db/shop?table={quote(written, safe='')}").table == tuple(names)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:hidden@db.example/shop?table=t",
        "postgresql://:hidden@db.example/shop?table=t",
        "postgresql://ann@db.example/shop?table=t&password=hidden",
        "postgresql://ann@db.example/shop?table=t&sslpassword=hidden",
        "mysql+pymysql://ann:hidden@db.example/shop?table=t",
        "mysql+pymysql://ann@db.example/shop?table=t&passwd=hidden",
        "mssql+pyodbc://ann@db.example/shop?table=t&PWD=hidden",
        "sqlite://ann:hidden@/shop.db?table=t",
    ],
)
def test_a_password_in_a_url_is_refused_and_not_told(url: str) -> None:
    with pytest.raises(Problem) as told:
        open_source(url)
    assert told.value.code == "source.invalid"
    assert "secret=NAME" in told.value.next_step
    assert "MODELYARD_SECRET_NAME" in told.value.next_step
    assert "hidden" not in f"{told.value} {told.value.detail}"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db.example/shop",
        "postgresql://db.example/shop?table=",
        "postgresql://db.example/shop?query= ; ",
        "postgresql:///shop?table=t",
        "postgresql://one,two/shop?table=t",
        "postgresql://db.example?table=t",
        "postgresql+psycopg://db.example/shop?table=t",
        "postgresql://db.example/shop?query=SELECT 5 % 2",
        "mysql+pymysql:///shop?table=t",
        "mysql+pymysql://db.example/shop?query=SELECT 1",
        "mysql+pymysql://db.example/shop?table=t&host=evil.example",
        "mysql+pymysql://db.example/shop?table=t&read_default_file=/etc/my.cnf",
        "mysql+pymysql://db.example/shop?table=t&secret=SHOP&ssl_disabled=true",
        "mysql+nonsense://db.example/shop?table=t",
    ],
)
def test_a_url_of_another_form_is_refused(url: str) -> None:
    with pytest.raises(Problem) as told:
        open_source(url)
    assert told.value.code == "source.invalid"
    assert told.value.next_step


@pytest.mark.parametrize(("kind", "package"), [("mysql", "MySQLdb"), ("mariadb", "MySQLdb"), ("oracle", "oracledb")])
def test_a_driver_that_is_not_installed_is_told_with_what_installs_it(kind: str, package: str) -> None:
    with pytest.raises(Problem) as told:
        DialectSource(f"{kind}://ann@db.example/shop?table=t")
    assert told.value.code == "adapter.unavailable"
    assert package in told.value.what
    assert "pip install" in told.value.next_step


VALUES = (
    st.integers()
    | st.floats(allow_nan=False)
    | st.decimals(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
    | st.uuids()
    | st.dates()
    | st.datetimes(timezones=st.none() | st.just(UTC))
)


@given(value=VALUES)
def test_a_bookmark_keeps_its_value_and_its_type(value: object) -> None:
    address = Address.parse("postgresql://db/shop?table=t&watermark=w")
    found = Bookmark.read(address, Bookmark.at(address, value).text).known()
    assert (found, type(found)) == (value, type(value))
