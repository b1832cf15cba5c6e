"""The address of a place in S3, `s3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=eu-central-1`, and its client."""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from boto3.session import Session
from botocore.config import Config

from modelyard.core.problems import Problem, nearest

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CALLS_AT_ONCE = 8  # requests in flight of one verb
_OPTIONS = ("endpoint", "region")


@dataclass(frozen=True)
class S3Address:
    """Where in S3: a bucket, a prefix without slashes at its ends (may be empty), and the server when it is not AWS."""

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None

    @classmethod
    def from_url(cls, url: str) -> "S3Address":
        """Return the address that a URL tells; endpoint and region left out come from the AWS environment.

        Raises
        ------
        Problem
            `adapter.invalid` when there is no bucket, or an option that is not known.

        >>> S3Address.from_url("s3://models/yard/?region=eu-central-1")
        S3Address(bucket='models', prefix='yard', endpoint=None, region='eu-central-1')
        """
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query))
        unknown = sorted(options.keys() - set(_OPTIONS))
        if not parts.netloc or "@" in parts.netloc:
            why = "credentials are read from the AWS environment" if "@" in parts.netloc else "it names no bucket"
            raise Problem(
                "adapter.invalid", f"{parts.scheme}://…{parts.path} is no S3 address", why, "write it as s3://bucket/prefix"
            )
        if unknown:
            known = nearest(unknown[0], _OPTIONS) or _OPTIONS
            raise Problem("adapter.invalid", f"{url} has the unknown option '{unknown[0]}'", f"known: {', '.join(known)}")
        return cls(parts.netloc, unquote(parts.path).strip("/"), options.get("endpoint"), options.get("region"))

    def __str__(self) -> str:
        """Return the place as a person reads it, with its server."""
        place = f"s3://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")
        return f"{place} at {self.endpoint}" if self.endpoint else place

    def client(self) -> "S3Client":
        """Return a client, safe to share between threads; credentials come from the AWS environment.

        Own servers are addressed by path, since they seldom have a host name for each bucket. Checksums are sent where we ask
        for them only: servers other than AWS's do not all know the ones that boto3 adds by itself.
        """
        return Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=self.region,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path" if self.endpoint else "auto"},
                retries={"mode": "standard", "total_max_attempts": 4},
                connect_timeout=5,
                read_timeout=60,
                max_pool_connections=2 * CALLS_AT_ONCE,
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
