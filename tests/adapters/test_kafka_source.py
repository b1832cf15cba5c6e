"""Topics of the real broker as sources of datasets."""

from collections.abc import Iterator

import polars as pl
import pytest

from modelyard.adapters import open_source
from modelyard.data.sources import Source
from modelyard.serving.broker import Record
from modelyard.testing.source import SourceContract
from tests.topics import Topics


def objects(rows: pl.DataFrame) -> list[Record]:
    """Return rows as messages of JSON objects, times as text in ISO 8601."""
    return [Record(None, line.encode(), ()) for line in rows.write_ndjson().splitlines()]


class TopicBench:
    """A topic of three partitions with rows as JSON objects, on a broker that is there."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    @property
    def source(self) -> Source:
        return open_source(url(self._topics))

    def fill(self, rows: pl.DataFrame) -> None:
        self._topics.send(objects(rows))

    def empty(self) -> None:
        pass  # as it was made

    def elsewhere(self) -> Source:
        return open_source(f"kafka://{self._topics.address}/nowhere-{self._topics.name}")


class TestKafkaSource(SourceContract):
    @pytest.fixture
    def bench(self, kafka_address: str) -> Iterator[TopicBench]:
        yield TopicBench(Topics.make(kafka_address))


def url(topics: Topics, options: str = "") -> str:
    """Return the URL of the source of a test."""
    return f"kafka://{topics.address}/{topics.source}" + (f"?{options}" if options else "")
