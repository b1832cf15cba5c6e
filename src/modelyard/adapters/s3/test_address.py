import pytest

from modelyard.adapters.s3.address import S3Address
from modelyard.core import Problem


def test_a_url_tells_bucket_prefix_server_and_region() -> None:
    address = S3Address.from_url("s3://models/a/b%20c/?endpoint=http://127.0.0.1:9000&region=eu-central-1")
    assert address == S3Address("models", "a/b c", "http://127.0.0.1:9000", "eu-central-1")
    assert str(address) == "s3://models/a/b c at http://127.0.0.1:9000"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3:///prefix", "names no bucket"),
        ("s3://key:secret@bucket", "AWS environment"),
        ("s3://bucket?endpont=http://x", "endpoint"),
    ],
)
def test_a_wrong_url_is_told_without_its_secrets(url: str, told: str) -> None:
    with pytest.raises(Problem, match=told) as problem:
        S3Address.from_url(url)
    assert problem.value.code == "adapter.invalid"
    assert "secret" not in str(problem.value)
