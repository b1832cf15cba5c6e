"""What S3 answers when it does not do what we ask, as Problems."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
)

from modelyard.adapters.s3.address import S3Address
from modelyard.core.problems import Problem

_KEYS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or a profile or role) to keys of this store"
_RIGHTS = "allow these keys to get, put, list and delete objects in the bucket"
_BUCKET = "make the bucket, or mend its name in the URL"
_ADVICE = {
    "NoSuchBucket": ("there is no such bucket", _BUCKET),
    "InvalidAccessKeyId": ("the access key is not known there", _KEYS),
    "XAdminUserNotFound": ("the access key is not known there", _KEYS),  # versitygw's word for InvalidAccessKeyId
    "SignatureDoesNotMatch": ("the secret key is wrong", _KEYS),
    "ExpiredToken": ("the session token has expired", _KEYS),
    "AccessDenied": ("it does not let these keys in", _RIGHTS),
    "403": ("the keys are wrong, or have no right to this bucket", f"{_KEYS}; {_RIGHTS}"),  # HEAD has no body to say which
    "RequestTimeTooSkewed": ("this machine's clock and the server's are too far apart", "set the clock"),
    "PermanentRedirect": ("the bucket is in another region", "name its region in the URL, as ?region=…"),
}


def error_code(error: ClientError) -> str:
    """Return S3's own word for the error, such as `NoSuchKey`; for HEAD the HTTP status as text."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def told(address: S3Address) -> Iterator[None]:
    """Raise what botocore raises in the block as `Problem("object.unavailable")`, with the advice that fits."""
    try:
        yield
    except ClientError as error:
        why, step = _ADVICE.get(error_code(error), (str(error), ""))
        raise _unavailable(address, why, step, error_code(error)) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise _unavailable(address, "no credentials are set", _KEYS) from error
    except (ConnectionError, HTTPClientError, IncompleteReadError) as error:
        raise _unavailable(
            address, f"it does not answer ({error})", "start the server, or mend the endpoint in the URL"
        ) from error
    except BotoCoreError as error:
        raise _unavailable(address, str(error)) from error


def _unavailable(address: S3Address, why: str, step: str = "", code: str = "") -> Problem:
    return Problem(
        "object.unavailable", f"The object store {address} cannot be used", why, step, {"s3": code} if code else None
    )
