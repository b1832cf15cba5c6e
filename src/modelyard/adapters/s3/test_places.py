from dataclasses import replace
from functools import partial
from secrets import token_hex

import pytest

from modelyard.adapters.s3.address import S3Address
from modelyard.adapters.s3.places import S3Place
from modelyard.core import Problem
from modelyard.testing.place import Opener, PlaceContract

pytestmark = pytest.mark.services


@pytest.fixture
def address(s3_url: str) -> S3Address:
    """Return a prefix of its own for the test."""
    return replace(S3Address.from_url(s3_url), prefix=token_hex(8))


class TestS3Place(PlaceContract):
    @pytest.fixture
    def opener(self, address: S3Address) -> Opener:
        return partial(S3Place, address)


def test_more_than_a_page_is_listed(address: S3Address) -> None:
    place = S3Place(address)
    for number in range(1_050):
        place.put(f"part-{number:04}", b"")
    assert len(place.find("part-*")) == 1_050


def test_a_bucket_that_is_not_there_is_told(address: S3Address) -> None:
    place = S3Place(replace(address, bucket="no-such-bucket"))
    for ask in (lambda: place.find("x.csv"), lambda: place.get("x"), lambda: place.put("x", b"")):
        with pytest.raises(Problem, match="there is no such bucket") as told:
            ask()
        assert told.value.code == "object.unavailable"


def test_wrong_keys_are_told(address: S3Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(Problem, match="secret key is wrong") as told:
        S3Place(address).put("x", b"")
    assert told.value.code == "object.unavailable"
