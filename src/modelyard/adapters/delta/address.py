"""Where a Delta table lies, as delta-rs is told: an address, and the options of its store."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from modelyard.core import Problem

S3_OPTIONS = {"endpoint": "AWS_ENDPOINT_URL", "region": "AWS_REGION"}
_PATIENCE = {"connect_timeout": "5s", "timeout": "60s", "max_retries": "4", "retry_timeout": "30s"}  # else minutes


@dataclass(frozen=True)
class DeltaAddress:
    """A folder of Delta tables, or one table, with the options of its store. Keys of S3 come from the AWS environment."""

    location: str  # a path of this machine, or s3://bucket/prefix
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_path(cls, path: Path) -> "DeltaAddress":
        """Return the address of a folder. Problem `adapter.invalid` for a path with `%`."""
        if "%" in str(path):
            raise Problem("adapter.invalid", f"{path} cannot hold a table", "its path has a %", "choose another folder")
        return cls(str(path))

    @property
    def folder(self) -> Path | None:
        """The folder of this machine; None: it lies elsewhere."""
        return None if self.location.startswith("s3://") else Path(self.location)

    @classmethod
    def from_url(cls, url: str) -> "DeltaAddress":
        """Return the address that `file:///absolute/path` or `s3://bucket/prefix?endpoint=…&region=…` tells.

        Raises
        ------
        Problem
            `adapter.invalid` for another form, another host, a path with `%` (which delta-rs takes for an escape), and options
            that are not known.
        """
        parts = urlsplit(url)
        if parts.scheme == "file":
            if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/") or parts.query:
                why = "it needs three slashes and an absolute path"
                raise Problem("adapter.invalid", f"{url} names no local folder", why, "write it as file:///absolute/path")
            return cls.from_path(Path(unquote(parts.path)))
        if parts.scheme != "s3" or not parts.netloc or "@" in parts.netloc:
            why = "credentials are read from the AWS environment" if "@" in parts.netloc else "it names no folder and no bucket"
            step = "write it as file:///absolute/path or s3://bucket/prefix"
            raise Problem("adapter.invalid", f"{parts.scheme}://…{parts.path} holds no Delta table", why, step)
        told = dict(parse_qsl(parts.query))
        unknown = sorted(told.keys() - S3_OPTIONS.keys())
        if unknown:
            why = f"known: {', '.join(S3_OPTIONS)}"
            raise Problem("adapter.invalid", f"{parts.scheme}://…{parts.path} has the unknown option '{unknown[0]}'", why)
        options = {S3_OPTIONS[name]: value for name, value in told.items()}
        if told.get("endpoint", "").startswith("http://"):
            options["AWS_ALLOW_HTTP"] = "true"
        return cls(f"s3://{parts.netloc}/{unquote(parts.path).strip('/')}".rstrip("/"), options)

    @property
    def name(self) -> str:
        """The last part of it."""
        return self.location.rpartition("/")[2]

    @property
    def target(self) -> str | Path:
        """What delta-rs is given: in a text it takes signs of a path for those of a URL."""
        return self.folder or self.location

    @property
    def for_delta(self) -> dict[str, str]:
        """The options for delta-rs."""
        return {} if self.folder is not None else {**_PATIENCE, **self.options}

    @property
    def for_polars(self) -> dict[str, str]:
        """The options for Polars, which does not know all that delta-rs does."""
        return dict(self.options)

    def below(self, name: str) -> "DeltaAddress":
        """Return the address of a folder below."""
        return DeltaAddress(f"{self.location}/{name}", self.options)
