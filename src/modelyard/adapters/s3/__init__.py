"""S3 and what speaks its protocol."""

from modelyard.adapters.s3.objects import S3Objects

__all__ = ["S3Objects"]
