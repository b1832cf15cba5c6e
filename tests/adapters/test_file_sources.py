"""Sources in files: in folders, in S3, over HTTP, as Delta tables, as Croissant tells of them."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from urllib.parse import urlencode

import polars as pl
import pytest

from modelyard.adapters import open_source
from modelyard.adapters.delta.address import DeltaAddress
from modelyard.adapters.s3.address import S3Address
from modelyard.adapters.s3.places import S3Place
from modelyard.core import Problem
from modelyard.data.sources import Ask, Source
from modelyard.testing.source import TYPES, Bench, SourceContract, numbered, taken
from tests.listening import Quiet, giving, listening

pytestmark = pytest.mark.contract

WRITERS: dict[str, Callable[[pl.DataFrame, BytesIO], object]] = {
    "csv": pl.DataFrame.write_csv,
    "csv.gz": partial(pl.DataFrame.write_csv, compression="gzip"),
    "parquet": pl.DataFrame.write_parquet,
    "ndjson": pl.DataFrame.write_ndjson,
    "arrow": pl.DataFrame.write_ipc,
    "avro": pl.DataFrame.write_avro,
}


def written(rows: pl.DataFrame, form: str) -> bytes:
    buffer = BytesIO()
    WRITERS[form](rows, buffer)
    return buffer.getvalue()


@dataclass
class Folder:
    """Files below a folder, one for each filling."""

    folder: Path
    form: str

    @property
    def source(self) -> Source:
        return open_source(f"{self.folder.as_uri()}/*.{self.form}")

    def fill(self, rows: pl.DataFrame) -> None:
        number = len(list(self.folder.iterdir()))
        (self.folder / f"{number:03}.{self.form}").write_bytes(written(rows, self.form))

    def empty(self) -> None:
        self.fill(numbered(0, 0))

    def elsewhere(self) -> Source:
        return open_source(f"{self.folder.as_uri()}/nowhere/*.{self.form}")


class TestFiles(SourceContract):
    @pytest.fixture(params=["csv", "csv.gz", "parquet", "arrow"])
    def bench(self, request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
        return Folder(tmp_path, request.param)


class Bucket(Folder):
    """The same below a prefix of a bucket."""

    def __init__(self, address: S3Address) -> None:
        super().__init__(Path("unused"), "parquet")
        self.address = replace(address, prefix=token_hex(8))
        self.place = S3Place(self.address)

    def _url(self, name: str) -> str:
        options = {"endpoint": self.address.endpoint, "region": self.address.region}
        told = urlencode({key: value for key, value in options.items() if value})
        return f"s3://{self.address.bucket}/{self.address.prefix}/{name}?{told}"

    @property
    def source(self) -> Source:
        return open_source(self._url("*.parquet"))

    def fill(self, rows: pl.DataFrame) -> None:
        self.place.put(f"{len(self.place.find()):03}.parquet", written(rows, self.form))

    def elsewhere(self) -> Source:
        return open_source(self._url("nowhere/*.parquet"))


@pytest.mark.services
class TestS3(SourceContract):
    @pytest.fixture
    def bench(self, s3_url: str) -> Bench:
        return Bucket(S3Address.from_url(s3_url))


@dataclass
class Served(Folder):
    """One file behind a real HTTP server, named by the digest it has."""

    url: str = ""

    @property
    def file(self) -> Path:
        return self.folder / "flights 1.parquet"

    @property
    def source(self) -> Source:
        digest = sha256(self.file.read_bytes()).hexdigest()
        return open_source(f"{self.url}/flights%201.parquet#sha256={digest}")

    def fill(self, rows: pl.DataFrame) -> None:
        held = pl.read_parquet(self.file) if self.file.exists() else rows.head(0)
        self.file.write_bytes(written(pl.concat([held, rows]), self.form))

    def elsewhere(self) -> Source:
        return open_source(f"{self.url}/nowhere.parquet#sha256={'0' * 64}")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with giving(tmp_path) as url:
        yield Served(tmp_path, "parquet", url)


class TestHttp(SourceContract):
    @pytest.fixture
    def bench(self, served: Served) -> Bench:
        return served


class Table(Folder):
    """A Delta table that others write."""

    @property
    def source(self) -> Source:
        return open_source(f"delta+{self.folder.as_uri()}/flights")

    def fill(self, rows: pl.DataFrame) -> None:
        rows.write_delta(self.folder / "flights", mode="append")

    def elsewhere(self) -> Source:
        return open_source(f"delta+{self.folder.as_uri()}/nowhere")


class TestDelta(SourceContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        return Table(tmp_path, "delta")


class RemoteTable(Bucket):
    """A Delta table in a bucket."""

    def _table(self, name: str) -> str:
        return self._url(name)

    @property
    def source(self) -> Source:
        return open_source(f"delta+{self._table('flights')}")

    def fill(self, rows: pl.DataFrame) -> None:
        address = DeltaAddress.from_url(self._table("flights"))
        rows.write_delta(address.location, mode="append", storage_options=address.for_polars)

    def elsewhere(self) -> Source:
        return open_source(f"delta+{self._table('nowhere')}")


@pytest.mark.services
class TestDeltaInS3(SourceContract):
    @pytest.fixture
    def bench(self, s3_url: str) -> Bench:
        return RemoteTable(S3Address.from_url(s3_url))


KINDS = {"id": "Integer", "at": "DateTime", "origin": "Text", "delay": "Float", "late": "Boolean", "day": "Date"}


def croissant(files: dict[str, bytes], form: str) -> bytes:
    """Return what tells of files by the contract's rows."""
    pinned = [
        {"@type": "cr:FileObject", "@id": name, "contentUrl": name, "sha256": sha256(content).hexdigest()}
        for name, content in files.items()
    ]
    source = {"fileSet": {"@id": "all"}}
    fields = [
        {"name": name, "dataType": f"sc:{kind}", "source": {**source, "extract": {"column": name}}}
        for name, kind in KINDS.items()
    ]
    whole = {"@type": "cr:FileSet", "@id": "all", "includes": f"*.{form}"}
    return json.dumps({"distribution": [*pinned, whole], "recordSet": [{"@id": "rows", "field": fields}]}).encode()


class Described(Folder):
    """A folder whose files a Croissant file tells of."""

    @property
    def source(self) -> Source:
        return open_source(str(self.folder / "croissant.json"))

    def fill(self, rows: pl.DataFrame) -> None:
        super().fill(rows)
        files = {one.name: one.read_bytes() for one in sorted(self.folder.glob(f"*.{self.form}"))}
        (self.folder / "croissant.json").write_bytes(croissant(files, self.form))

    def elsewhere(self) -> Source:
        return open_source(str(self.folder / "nowhere.json"))


class TestCroissant(SourceContract):
    @pytest.fixture(params=["csv", "parquet", "csv.gz"])
    def bench(self, request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
        return Described(tmp_path, request.param)


class DescribedBucket(Bucket):
    """The same in a bucket."""

    @property
    def source(self) -> Source:
        return open_source(self._url("croissant.json"))

    def fill(self, rows: pl.DataFrame) -> None:
        self.place.put(f"{len(self.place.find()):03}.parquet", written(rows, self.form))
        files = {one.name: self.place.get(one.name) or b"" for one in self.place.find("*.parquet")}
        self.place.put("croissant.json", croissant(files, self.form))

    def elsewhere(self) -> Source:
        return open_source(self._url("nowhere.json"))


@pytest.mark.services
class TestCroissantInS3(SourceContract):
    @pytest.fixture
    def bench(self, s3_url: str) -> Bench:
        return DescribedBucket(S3Address.from_url(s3_url))


def test_another_content_than_the_known_one_is_refused(served: Served) -> None:
    served.fill(numbered(0, 3))
    source = served.source
    served.fill(numbered(3, 4))
    with pytest.raises(Problem, match="is expected") as told:
        taken(source)
    assert told.value.code == "source.invalid"


def test_whoever_names_no_digest_is_told_the_one_that_is_there(served: Served) -> None:
    served.fill(numbered(0, 3))
    with pytest.raises(Problem) as told:
        taken(open_source(f"{served.url}/flights%201.parquet"))
    url = told.value.next_step.partition(": ")[2]
    assert url.startswith("http://127.0.0.1")
    assert told.value.detail["sha256"] in url


@pytest.mark.parametrize(
    "url", ["http:///x.csv", "https://ann:secret@host/x.csv", "https://host/x.csv#sha1=0", "https://host/x"]
)
def test_urls_that_name_no_file_are_refused_at_once(url: str) -> None:
    with pytest.raises(Problem) as told:
        open_source(url)
    assert told.value.code == "source.invalid"
    assert "secret" not in str(told.value)


def test_a_server_that_is_away_is_told() -> None:
    with pytest.raises(Problem) as told:
        taken(open_source(f"http://127.0.0.1:9/x.csv#sha256={'0' * 64}"))
    assert told.value.code == "source.unavailable"


def test_a_version_of_a_table_can_be_named_and_one_that_is_not_there_is_told(tmp_path: Path) -> None:
    bench = Table(tmp_path, "delta")
    bench.fill(numbered(0, 5))
    bench.fill(numbered(5, 9))
    url = f"delta+{tmp_path.as_uri()}/flights"
    assert taken(open_source(f"{url}?version=0"))[0].height == 5
    with pytest.raises(Problem, match="its newest is 1") as told:
        taken(open_source(f"{url}?version=7"))
    assert told.value.code == "source.missing"
    for bad in ("?version=last", "?version=1&version=2", "?nulls=NA"):
        with pytest.raises(Problem):
            open_source(url + bad)


def test_a_file_that_is_replaced_while_it_is_read_is_told(tmp_path: Path) -> None:
    bench = Folder(tmp_path, "csv")
    bench.fill(numbered(0, 30))
    with pytest.raises(Problem) as told, bench.source.read(Ask(types=TYPES)) as reading:
        frames = reading.frames
        next(frames)
        (tmp_path / "000.csv").write_bytes(written(numbered(0, 31), "csv"))
        list(frames)
    assert told.value.code == "file.conflict"


def test_texts_stay_texts_where_they_are_declared(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("zip,n\n10001,1\n10002,2\n")
    source = open_source(str(tmp_path / "x.csv"))
    with source.read(Ask(types=pl.Schema({"zip": pl.String(), "n": pl.Int64()}))) as reading:
        [frame] = reading.frames
    assert frame.schema == pl.Schema({"zip": pl.String(), "n": pl.Int64()})


def test_a_server_leads_on_within_itself_and_to_no_other(tmp_path: Path) -> None:
    rows = written(numbered(0, 3), "parquet")

    class Leading(Quiet):
        def do_GET(self) -> None:
            there = {"/near.parquet": "/x", "/far.parquet": "http://127.0.0.2:1/x", "/round.parquet": "/round.parquet"}
            self.send_response(302 if self.path in there else 200)
            if self.path in there:
                self.send_header("location", there[self.path])
            self.send_header("content-length", "0" if self.path in there else str(len(rows)))
            self.end_headers()
            if self.path not in there:
                self.wfile.write(rows)

    with listening(Leading) as url:
        digest = sha256(rows).hexdigest()
        assert taken(open_source(f"{url}/near.parquet#sha256={digest}"))[0].height == 3
        for name, code in (("far", "source.invalid"), ("round", "source.unavailable")):
            with pytest.raises(Problem) as told:
                taken(open_source(f"{url}/{name}.parquet#sha256={digest}"))
            assert told.value.code == code
