import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING

import pytest

from modelyard.adapters.s3.address import S3Address
from modelyard.adapters.s3.multipart import PART_BYTES, send_in_parts
from modelyard.adapters.s3.objects import S3Objects
from modelyard.core import Digest, Problem, ProjectId, digest_bytes
from modelyard.core.objects import object_key
from modelyard.testing.object_store import FLIGHTS, NOWHERE, Opener, Spoil, UploadContract, content_of, send, upload

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.services


@pytest.fixture
def address(s3_url: str) -> S3Address:
    """Return a bucket of its own for the test."""
    return replace(S3Address.from_url(s3_url), prefix=token_hex(8))


@pytest.fixture
def client(address: S3Address) -> "S3Client":
    """Return a client of the test's bucket."""
    return address.client()


class TestS3Objects(UploadContract):
    @pytest.fixture
    def opener(self, address: S3Address) -> Opener:
        return partial(S3Objects, address)

    @pytest.fixture
    def spoil(self, address: S3Address, client: "S3Client") -> Spoil:
        def spoil(project: ProjectId, digest: Digest, content: bytes) -> None:
            client.put_object(Bucket=address.bucket, Key=f"{address.prefix}/{object_key(project, digest)}", Body=content)

        return spoil


def keys(client: "S3Client", address: S3Address) -> list[str]:
    answer = client.list_objects_v2(Bucket=address.bucket, Prefix=address.prefix)
    return [item["Key"].removeprefix(f"{address.prefix}/") for item in answer.get("Contents", [])]


def open_uploads(client: "S3Client", address: S3Address) -> list[str]:
    answer = client.list_multipart_uploads(Bucket=address.bucket, Prefix=address.prefix)
    return [item["Key"].removeprefix(f"{address.prefix}/") for item in answer.get("Uploads", [])]


def test_nothing_but_the_object_is_left_after_an_upload(client: "S3Client", address: S3Address) -> None:
    store = S3Objects(address)
    digest = upload(store, FLIGHTS, b"mine")
    store.accept(FLIGHTS, [digest])
    assert keys(client, address) == [object_key(FLIGHTS, digest)]


def test_an_upload_that_changed_after_it_was_read_is_not_accepted(client: "S3Client", address: S3Address) -> None:
    store, digest = S3Objects(address), digest_bytes(b"proper")
    url = store.upload_url(FLIGHTS, digest, 6)
    assert url
    assert send(url, b"proper")
    incoming = store._incoming(FLIGHTS, digest)
    tag = store._check_upload(FLIGHTS, digest, incoming)
    assert send(url, b"wicked")
    with pytest.raises(Problem) as told:
        store._move(incoming, store._key(FLIGHTS, digest), tag)
    assert told.value.code == "object.conflict"
    assert store.absent(FLIGHTS, [digest]) == [digest]


def test_a_large_object_goes_in_parts(client: "S3Client", address: S3Address) -> None:
    content = content_of(b"parts", 2 * PART_BYTES + 1)
    [digest] = S3Objects(address).put(FLIGHTS, [content])
    tag = client.head_object(Bucket=address.bucket, Key=f"{address.prefix}/{object_key(FLIGHTS, digest)}")["ETag"]
    assert tag.strip('"').endswith("-3")
    assert S3Objects(address).get(FLIGHTS, [digest]) == [content]
    assert open_uploads(client, address) == []


def test_parts_that_break_off_leave_nothing(client: "S3Client", address: S3Address) -> None:
    def parts() -> Iterator[bytes]:
        yield bytes(PART_BYTES)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        send_in_parts(client, address.bucket, f"{address.prefix}/{object_key(FLIGHTS, NOWHERE)}", parts())
    assert keys(client, address) == open_uploads(client, address) == []


KILLED_WRITER = """
import os, signal, sys
from modelyard.adapters.s3.address import S3Address
from modelyard.adapters.s3.multipart import PART_BYTES, send_in_parts
def parts():
    yield bytes(PART_BYTES)
    os.kill(os.getpid(), signal.SIGKILL)
address = S3Address.from_url(sys.argv[1])
send_in_parts(address.client(), sys.argv[2], sys.argv[3], parts())
"""


def test_a_killed_writer_leaves_nothing_to_see_and_its_parts_are_swept(
    client: "S3Client", address: S3Address, s3_url: str
) -> None:
    store, key = S3Objects(address), object_key(FLIGHTS, NOWHERE)
    command = [sys.executable, "-c", KILLED_WRITER, s3_url, address.bucket, f"{address.prefix}/{key}"]
    killed = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert killed.returncode == -signal.SIGKILL
    assert store.absent(FLIGHTS, [NOWHERE]) == [NOWHERE]
    assert open_uploads(client, address) == [key]
    assert store.sweep(timedelta(days=1)) == 0
    assert store.sweep(timedelta(0)) == 1
    assert open_uploads(client, address) == []


def test_a_sweep_leaves_the_uploads_of_others_alone(client: "S3Client", address: S3Address) -> None:
    client.create_multipart_upload(Bucket=address.bucket, Key=f"{address.prefix}/lake/part-0.parquet")
    assert S3Objects(address).sweep(timedelta(0)) == 0
    assert open_uploads(client, address) == ["lake/part-0.parquet"]


def test_a_bucket_that_is_not_there_is_told_by_every_verb(address: S3Address) -> None:
    store = S3Objects(replace(address, bucket="no-such-bucket"))
    for attempt in (
        lambda: store.put(FLIGHTS, [b"x"]),
        lambda: store.get(FLIGHTS, [NOWHERE]),
        lambda: store.absent(FLIGHTS, [NOWHERE]),
        lambda: store.accept(FLIGHTS, [NOWHERE]),
        lambda: store.sweep(timedelta(0)),
    ):
        with pytest.raises(Problem, match="no such bucket") as told:
            attempt()
        assert told.value.code == "object.unavailable"


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_keys_are_told_with_the_names_to_set(address: S3Address, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "wrong")
    store = S3Objects(address)
    for attempt in (lambda: store.put(FLIGHTS, [b"x"]), lambda: store.get(FLIGHTS, [NOWHERE])):
        with pytest.raises(Problem, match="AWS_ACCESS_KEY_ID") as told:
            attempt()
        assert told.value.code == "object.unavailable"
