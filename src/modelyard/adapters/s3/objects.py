"""Objects in S3, under `<prefix>/<project>/<2 hex digits>/<64 hex digits>`; uploads wait in `<prefix>/.incoming/`."""

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import ClientError

from modelyard.adapters.s3.address import CALLS_AT_ONCE, S3Address
from modelyard.adapters.s3.multipart import PART_BYTES, part_bytes, send_in_parts
from modelyard.adapters.s3.problems import error_code, told
from modelyard.core.digests import PREFIX, Digest, digest_bytes
from modelyard.core.files import whole_file
from modelyard.core.ids import ProjectId
from modelyard.core.objects import object_key, object_missing, source_chunks, source_digest, verified
from modelyard.core.problems import Problem

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CopySourceTypeDef, GetObjectOutputTypeDef, ResponseMetadataTypeDef

UPLOAD_EXPIRES_S = 3600
MOST_UPLOAD_BYTES = 5 << 30  # S3's limit for one PUT, and for one copy
_CHUNK_BYTES = 1 << 20
_INCOMING = ".incoming"  # a dot is in no project id, so no project meets it
_OURS = re.compile(r"[A-Za-z0-9_-]+/[0-9a-f]{2}/[0-9a-f]{64}")

T = TypeVar("T")
R = TypeVar("R")


class S3Objects:
    """The object store in an S3 bucket.

    S3 shows an object only when it is whole. Presence is judged by key and size, reading by the digest; every PUT carries a
    checksum that the server compares. A presigned upload goes to `.incoming/`, its size signed; `accept` reads it back once and
    has S3 copy the very bytes that were read (by their ETag) to their place, so no client can put wrong bytes under a digest.
    """

    def __init__(self, address: S3Address) -> None:
        self._address = address
        self._client: S3Client = address.client()
        self._root = f"{address.prefix}/" if address.prefix else ""

    @classmethod
    def from_url(cls, url: str) -> "S3Objects":
        """Return the store at `s3://bucket/prefix?endpoint=…&region=…`; nothing is asked of the server yet."""
        return cls(S3Address.from_url(url))

    def put(self, project: ProjectId, contents: Sequence[bytes]) -> list[Digest]:
        """Store each content and return its digest, in order."""
        digests = [digest_bytes(content) for content in contents]
        wanted = dict(zip(digests, contents, strict=True))
        _each(lambda item: self._store(project, item[0], len(item[1]), lambda size: _slices(item[1], size)), wanted.items())
        return digests

    def put_files(self, project: ProjectId, paths: Sequence[Path]) -> list[Digest]:
        """Store each file and return its digest, in order: small ones side by side, large ones each in parts side by side."""
        sources = [source_digest(path) for path in paths]
        wanted = {digest: (path, size) for path, (digest, size) in zip(paths, sources, strict=True)}
        large = {digest for digest, (_, size) in wanted.items() if size > PART_BYTES}

        def store(digest: Digest) -> None:
            path, size = wanted[digest]
            self._store(project, digest, size, lambda chunk_bytes: source_chunks(path, digest, chunk_bytes))

        _each(store, wanted.keys() - large)
        for digest in large:
            store(digest)
        return [digest for digest, _ in sources]

    def get(self, project: ProjectId, digests: Sequence[Digest]) -> list[bytes]:
        """Return each content, verified against its digest."""
        return _each(lambda digest: b"".join(self._read(project, digest)), digests)

    def fetch(self, project: ProjectId, digest: Digest, to: Path) -> None:
        """Write one content to the file `to`, in one rename, verified."""
        with whole_file(to) as write:
            for chunk in self._read(project, digest):
                write(chunk)

    def absent(self, project: ProjectId, digests: Sequence[Digest]) -> list[Digest]:
        """Return those digests that are not stored, in order, each once."""
        keys = {digest: self._key(project, digest) for digest in digests}
        sizes = _each(self._size, keys.values())
        if None in sizes:
            self._require_bucket()
        return [digest for digest, size in zip(keys, sizes, strict=True) if size is None]

    def upload_url(self, project: ProjectId, digest: Digest, size_bytes: int) -> str | None:
        """Return a presigned address of `.incoming/`; None for more than S3 takes in one PUT (5 GiB)."""
        key = self._incoming(project, digest)
        if size_bytes > MOST_UPLOAD_BYTES:
            return None
        with told(self._address):
            place = {"Bucket": self._address.bucket, "Key": key, "ContentLength": size_bytes}
            return self._client.generate_presigned_url("put_object", place, UPLOAD_EXPIRES_S, "PUT")

    def accept(self, project: ProjectId, digests: Sequence[Digest]) -> None:
        """Compare each upload with its digest and have S3 copy it to its place."""

        def attempt(digest: Digest) -> Problem | None:
            try:
                self._accept(project, digest)
            except Problem as problem:
                return problem
            return None

        for problem in filter(None, _each(attempt, self.absent(project, digests))):
            raise problem

    def sweep(self, older_than: timedelta) -> int:
        """Drop multipart uploads and incoming uploads that were begun before `older_than` ago, by the server's clock."""
        with told(self._address):
            return self._sweep_parts(older_than) + self._sweep_incoming(older_than)

    def _key(self, project: ProjectId, digest: Digest) -> str:
        return self._root + object_key(project, digest)

    def _incoming(self, project: ProjectId, digest: Digest) -> str:
        return f"{self._root}{_INCOMING}/{object_key(project, digest)}"

    def _store(self, project: ProjectId, digest: Digest, size_bytes: int, chunks: Callable[[int], Iterator[bytes]]) -> None:
        key = self._key(project, digest)
        if self._size(key) == size_bytes:
            return
        with told(self._address):
            if size_bytes > PART_BYTES:
                send_in_parts(self._client, self._address.bucket, key, chunks(part_bytes(size_bytes)))
            else:
                checksum = b64encode(bytes.fromhex(digest.removeprefix(PREFIX))).decode()
                body = b"".join(chunks(PART_BYTES))
                self._client.put_object(Bucket=self._address.bucket, Key=key, Body=body, ChecksumSHA256=checksum)

    def _size(self, key: str) -> int | None:
        with told(self._address):
            try:
                return self._client.head_object(Bucket=self._address.bucket, Key=key)["ContentLength"]
            except ClientError as error:
                if error_code(error) not in {"404", "NoSuchKey"}:
                    raise
                return None

    def _require_bucket(self) -> None:
        # HEAD has no body: a missing bucket looks like a missing key, and on some servers so does a wrong access key
        with told(self._address):
            self._client.list_objects_v2(Bucket=self._address.bucket, Prefix=self._root, MaxKeys=1)

    def _open(self, project: ProjectId, digest: Digest, key: str) -> "GetObjectOutputTypeDef":
        try:
            return self._client.get_object(Bucket=self._address.bucket, Key=key)
        except ClientError as error:
            if error_code(error) == "NoSuchKey":
                raise object_missing(project, digest) from error
            raise

    def _read(self, project: ProjectId, digest: Digest) -> Iterator[bytes]:
        key = self._key(project, digest)
        with told(self._address):
            answer = self._open(project, digest, key)
            with closing(answer["Body"]) as body:
                yield from verified(body.iter_chunks(_CHUNK_BYTES), digest, f"s3://{self._address.bucket}/{key}")

    def _accept(self, project: ProjectId, digest: Digest) -> None:
        incoming, key = self._incoming(project, digest), self._key(project, digest)
        try:
            with told(self._address):
                tag = self._check_upload(project, digest, incoming)
                self._move(incoming, key, tag)
        except Problem as problem:
            # two may accept at once: the second finds the upload gone, and the object there
            if problem.code not in {"object.missing", "object.conflict"} or self._size(key) is None:
                raise

    def _check_upload(self, project: ProjectId, digest: Digest, incoming: str) -> str:
        answer = self._open(project, digest, incoming)
        try:
            with closing(answer["Body"]) as body:
                for _ in verified(body.iter_chunks(_CHUNK_BYTES), digest, "the upload"):
                    pass
        except Problem:
            self._client.delete_object(Bucket=self._address.bucket, Key=incoming)
            raise
        return answer["ETag"]

    def _move(self, incoming: str, key: str, tag: str) -> None:
        source: CopySourceTypeDef = {"Bucket": self._address.bucket, "Key": incoming}
        try:
            self._client.copy_object(Bucket=self._address.bucket, Key=key, CopySource=source, CopySourceIfMatch=tag)
        except ClientError as error:
            if error_code(error) in {"PreconditionFailed", "NoSuchKey"}:
                why = "another upload took its place"
                raise Problem("object.conflict", "The upload changed while it was accepted", why, "accept it again") from error
            raise
        self._client.delete_object(Bucket=self._address.bucket, Key=incoming)

    def _sweep_parts(self, older_than: timedelta) -> int:
        swept = 0
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._address.bucket, Prefix=self._root)
        for page in pages:
            before = _server_time(page["ResponseMetadata"]) - older_than
            for upload in page.get("Uploads", []):
                if upload["Initiated"] <= before and _OURS.fullmatch(upload["Key"].removeprefix(self._root)):
                    self._client.abort_multipart_upload(
                        Bucket=self._address.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                    )
                    swept += 1
        return swept

    def _sweep_incoming(self, older_than: timedelta) -> int:
        swept = 0
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._address.bucket, Prefix=f"{self._root}{_INCOMING}/"
        )
        for page in pages:
            before = _server_time(page["ResponseMetadata"]) - older_than
            stale = [item["Key"] for item in page.get("Contents", []) if item["LastModified"] <= before]
            _each(lambda key: self._client.delete_object(Bucket=self._address.bucket, Key=key), stale)
            swept += len(stale)
        return swept


def _each(call: Callable[[T], R], items: Iterable[T]) -> list[R]:
    with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
        return list(pool.map(call, items))


def _slices(content: bytes, size_bytes: int) -> Iterator[bytes]:
    return (content[start : start + size_bytes] for start in range(0, len(content), size_bytes))


def _server_time(answer: "ResponseMetadataTypeDef") -> datetime:
    # the header has whole seconds: take the end of that one, so that what was begun in it has an age of zero and not less
    return parsedate_to_datetime(answer["HTTPHeaders"]["date"]) + timedelta(seconds=1)
