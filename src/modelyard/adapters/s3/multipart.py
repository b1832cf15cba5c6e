"""One large object in parts: a few in flight, so memory is bounded whatever its size; shown only when all of it is there."""

from base64 import b64encode
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from hashlib import md5
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

PART_BYTES = 16 << 20  # up to this an object goes in one PUT
_MOST_PARTS = 10_000  # S3's limit
_IN_FLIGHT_BYTES = 64 << 20


def part_bytes(size_bytes: int) -> int:
    """Return the size of the parts of an object of `size_bytes`: 16 MiB, more where that would be over 10,000 parts.

    >>> part_bytes(1 << 30) >> 20, part_bytes(1 << 40) >> 20
    (16, 104)
    """
    return max(PART_BYTES, -(-size_bytes // _MOST_PARTS))


def send_in_parts(client: "S3Client", bucket: str, key: str, parts: Iterator[bytes]) -> None:
    """Upload `parts` (all but the last of one size) as one object; when anything raises, `parts` too, nothing is left."""
    upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    try:
        sent = _send(client, bucket, key, upload, parts)
        client.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": sent})
    except BaseException:
        with suppress(ClientError, BotoCoreError):
            client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
        raise


def _send(client: "S3Client", bucket: str, key: str, upload: str, parts: Iterator[bytes]) -> "list[CompletedPartTypeDef]":
    def send(number: int, part: bytes) -> "CompletedPartTypeDef":
        checksum = b64encode(md5(part, usedforsecurity=False).digest()).decode()
        answer = client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=part, ContentMD5=checksum)
        return {"PartNumber": number, "ETag": answer["ETag"]}

    sent: list[CompletedPartTypeDef] = []
    pending: deque[tuple[int, Future[CompletedPartTypeDef]]] = deque()
    with ThreadPoolExecutor(_IN_FLIGHT_BYTES // PART_BYTES) as pool:
        for number, part in enumerate(parts, start=1):
            while pending and sum(size for size, _ in pending) + len(part) > _IN_FLIGHT_BYTES:
                sent.append(pending.popleft()[1].result())
            pending.append((len(part), pool.submit(send, number, part)))
        sent += [future.result() for _, future in pending]
    return sent
