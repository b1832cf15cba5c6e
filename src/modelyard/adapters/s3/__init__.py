"""S3 and what speaks its protocol."""

from modelyard.adapters.s3.objects import S3Objects
from modelyard.adapters.s3.places import S3Place

__all__ = ["S3Objects", "S3Place"]
