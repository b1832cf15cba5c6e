"""Places in S3: the objects below a prefix, by their names."""

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from modelyard.adapters.s3.address import CALLS_AT_ONCE, S3Address
from modelyard.adapters.s3.problems import error_code, told
from modelyard.core.files import whole_file
from modelyard.core.places import PlacedFile, changed, check_name, fits, is_hidden

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CHUNK_BYTES = 1 << 20
_GONE = {"404", "NoSuchKey"}
_OTHER = {"412", "PreconditionFailed", *_GONE}
_TAKEN = {"412", "PreconditionFailed", "ConditionalRequestConflict"}


class S3Place:
    """The objects of a bucket below a prefix. Each is written by one PUT, and known again by its ETag."""

    def __init__(self, address: S3Address) -> None:
        self._address = address
        self._client: S3Client = address.client()
        self._root = f"{address.prefix}/" if address.prefix else ""

    @classmethod
    def from_url(cls, url: str) -> "S3Place":
        """Return the place at `s3://bucket/prefix?endpoint=…&region=…`; nothing is asked of the server yet."""
        return cls(S3Address.from_url(url))

    def __str__(self) -> str:
        """Return the address."""
        return str(self._address)

    def find(self, pattern: str = "") -> list[PlacedFile]:
        """Return an object, those below a prefix, or those that a pattern fits, by name."""
        with told(self._address):
            exact = self._exact(pattern) if pattern else None
            if exact is not None:
                return [exact]
            folder = f"{pattern.rstrip('/')}/" if pattern else ""
            inside = [file for file in self._listed(folder) if not is_hidden(file.name[len(folder) :])]
            if inside or not pattern:
                return inside
            literal = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
            start = literal.rfind("/") + 1
            found = [file for file in self._listed(literal) if fits(pattern, file.name)]
            return [file for file in found if not is_hidden(file.name[start:])]

    def fingerprint(self, file: PlacedFile) -> str:
        """Return the ETag."""
        return file.tag

    def fetch(self, file: PlacedFile, folder: Path) -> Path:
        """Write the very content that was found into `folder`, in bounded memory."""
        to = folder / file.name.rpartition("/")[2]
        with told(self._address):
            try:
                answer = self._client.get_object(Bucket=self._address.bucket, Key=self._key(file.name), IfMatch=file.tag)
            except ClientError as error:
                if error_code(error) in _OTHER:
                    raise changed(f"s3://{self._address.bucket}/{self._key(file.name)}") from error
                raise
            with closing(answer["Body"]) as body, whole_file(to) as write:
                for chunk in body.iter_chunks(_CHUNK_BYTES):
                    write(chunk)
        return to

    def confirm(self, file: PlacedFile) -> None:
        """Return: what was fetched is a copy of what was found."""

    def get(self, name: str) -> bytes | None:
        """Return an object's content; None: there is no such object."""
        with told(self._address):
            try:
                answer = self._client.get_object(Bucket=self._address.bucket, Key=self._key(name))
            except ClientError as error:
                if error_code(error) == "NoSuchKey":
                    return None
                raise
            with closing(answer["Body"]) as body:
                return body.read()

    def put(self, name: str, content: bytes, *, new: bool = False) -> bool:
        """Write an object by one PUT; with `new` the server refuses it where there is one."""
        checksum = b64encode(sha256(content).digest()).decode()
        bucket, key = self._address.bucket, self._key(name)
        with told(self._address):
            try:
                if new:
                    self._client.put_object(Bucket=bucket, Key=key, Body=content, ChecksumSHA256=checksum, IfNoneMatch="*")
                else:
                    self._client.put_object(Bucket=bucket, Key=key, Body=content, ChecksumSHA256=checksum)
            except ClientError as error:
                if new and error_code(error) in _TAKEN:
                    return False
                raise
        return True

    def remove(self, names: Sequence[str]) -> None:
        """Remove objects."""

        def drop(name: str) -> None:
            self._client.delete_object(Bucket=self._address.bucket, Key=self._key(name))

        with told(self._address), ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
            for _ in pool.map(drop, names):
                pass

    def _key(self, name: str) -> str:
        return self._root + check_name(name)

    def _exact(self, name: str) -> PlacedFile | None:
        try:
            found = self._client.head_object(Bucket=self._address.bucket, Key=self._root + name)
        except ClientError as error:
            if error_code(error) in _GONE:
                return None
            raise
        return PlacedFile(name, found["ContentLength"], found["ETag"])

    def _listed(self, start: str) -> Iterator[PlacedFile]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._address.bucket, Prefix=self._root + start)
        for page in pages:
            for item in page.get("Contents", []):
                if not item["Key"].endswith("/"):  # a mark that stands for a folder
                    yield PlacedFile(item["Key"][len(self._root) :], item["Size"], item["ETag"])
