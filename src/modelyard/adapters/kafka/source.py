"""Topics as sources of datasets: what was produced since the last reading, kept for good.

URLs are those of the broker's topics (`Address`), with these options beside librdkafka's settings:

| option | says |
|---|---|
| `format` | what a message holds: `json` (one object; the default), `csv`, `avro`, `arrow` |
| `columns` | names of the columns of CSV; without it the first line of each message names them |
| `schema` | files of Avro schemas, with commas between; the first one is the reader's |
| `registry` | `http://…` of a registry of Avro schemas, in Confluent's protocol |
| `meta` | `true`: each row has also `kafka_time`, `kafka_key`, `kafka_partition`, `kafka_offset` |
| `tombstones` | `skip`: messages without a value are passed over; else they are set aside |
| `secret` | NAME: user and password of SASL from the server's variable `MODELYARD_SECRET_NAME`; see `core.secrets` |
| `missing` | `skip`: where messages that nobody had read are gone, go on with what is there; else that is a problem |

A reading joins no group and commits nothing to Kafka: where it begins is said by its bookmark. It takes what is committed up to
the ends that it finds at its beginning, and gives it partition by partition, each in its order.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import polars as pl

from modelyard.adapters.kafka.address import Address, invalid
from modelyard.adapters.kafka.avro import AvroRecords, Registry
from modelyard.adapters.kafka.bookmark import Bookmark, begins_of
from modelyard.adapters.kafka.forms import ArrowStreams, Documents, Form, csv_lines, json_object, rows_of
from modelyard.adapters.kafka.topic import Found, Message, Topic
from modelyard.core import Problem
from modelyard.core.secrets import credentials
from modelyard.core.servers import ServerUrl
from modelyard.data.sources import Ask, Reading, Undecoded, wanted

PATIENCE_S: Final = 15.0  # without a sign of the broker
STRETCH_MESSAGES: Final = 20_000
STRETCH_BYTES: Final = 32 << 20
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {  # the first one is what holds where nothing is told
    "format": ("json", "csv", "avro", "arrow"),
    "meta": ("false", "true"),
    "tombstones": ("keep", "skip"),
    "missing": ("tell", "skip"),
}
_OPTIONS: Final = (*_CHOICES, "columns", "schema", "registry", "secret")
_PORT: Final = 9092
_FREE: Final = (
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "ssl.endpoint.identification.algorithm",
)
_FREE_KINDS: Final = (
    "client.",
    "fetch.",
    "queued.",
    "socket.",
    "reconnect.",
    "metadata.",
    "topic.metadata.",
    "receive.",
    "broker.",
)
_META: Final = pl.Schema(
    {
        "kafka_time": pl.Datetime("us", "UTC"),
        "kafka_key": pl.String(),
        "kafka_partition": pl.Int32(),
        "kafka_offset": pl.Int64(),
    }
)


class KafkaSource:
    """What a topic's URL names; see this module for its options.

    Raises
    ------
    Problem
        `source.invalid` for a URL that names no topic, holds a secret, or has an option or setting that there is not.
    """

    reads_on = True
    repeats = False

    def __init__(self, url: str, patience_s: float = PATIENCE_S) -> None:
        address = Address.parse(url, "source", files=False)
        told = {name: address.settings[name] for name in _OPTIONS if name in address.settings}
        settings = {name: value for name, value in address.settings.items() if name not in told}
        _refuse_settings(address)
        for name, choices in _CHOICES.items():
            if told.get(name, choices[0]) not in choices:
                raise invalid(
                    f"The option {name} of {address} is '{told[name]}'", f"it is one of {', '.join(choices)}", "source"
                )
        self._address = Address(address.servers, address.topic, settings)
        self._url = f"kafka://{address.servers}/{address.topic}"
        self._told = told
        self._patience_s = patience_s
        self._avro: AvroRecords | None = None
        if self._option("format") == "avro":
            registry = Registry(told["registry"], patience_s) if "registry" in told else None
            files = told["schema"].split(",") if "schema" in told else []
            if registry is None and not files:
                raise invalid(f"{address} says nothing of its schemas", "add schema=FILE or registry=http://…", "source")
            self._avro = AvroRecords.of(files, registry)

    @contextmanager
    def read(self, ask: Ask) -> Iterator[Reading]:
        """Look at the topic's ends, and begin to read up to them."""
        topic = Topic(self._known(), self._patience_s)
        found = topic.look()
        begins = begins_of(found, Bookmark.parse(ask.after), skips=self._option("missing") == "skip", told=str(self._address))
        yield _OfTopic(topic, found, begins, ask, self._form(ask), self._options())

    def _known(self) -> Address:
        """Return the address with what the secret holds: it is good for these brokers alone."""
        if "secret" not in self._told:
            return self._address
        held = credentials(self._told["secret"], ServerUrl.parse(self._url), _PORT, os.environ)
        settings = {**self._address.settings, **held.options, "sasl.username": held.user, "sasl.password": held.password}
        return Address(self._address.servers, self._address.topic, settings)

    def _form(self, ask: Ask) -> Form:
        reserved = tuple(_META) if self._option("meta") == "true" else ()
        types = {name: dtype for name, dtype in ask.types.items() if name not in reserved}
        only = None if ask.columns is None else {*ask.columns, *([ask.within.column] if ask.within else [])}
        match self._option("format"):
            case "arrow":
                return ArrowStreams(types, reserved, only)
            case "csv":
                columns = tuple(name.strip() for name in self._told.get("columns", "").split(",") if name.strip())
                return Documents(csv_lines(columns), types, reserved, only, texts=True)
            case _:
                return Documents(self._avro or json_object, types, reserved, only)

    def _option(self, name: str) -> str:
        return self._told.get(name, _CHOICES[name][0])

    def _options(self) -> "_Options":
        return _Options(meta=self._option("meta") == "true", skips_tombstones=self._option("tombstones") == "skip")


@dataclass(frozen=True)
class _Options:
    meta: bool
    skips_tombstones: bool


@dataclass
class _OfTopic:
    """A reading of a topic."""

    topic: Topic
    found: Found
    begins: Mapping[int, int]
    ask: Ask
    form: Form
    options: _Options
    part: str = ""
    share: float | None = None
    bookmark: str = ""
    undecoded: list[Undecoded] = field(default_factory=list)
    waiting: int = 0

    @property
    def frames(self) -> Iterator[pl.DataFrame]:
        """The rows; the messages are all taken from the broker before the first of them."""
        taken, reached = self.topic.take(self.begins, self.found.ends)
        self.waiting = sum(end - reached.get(partition, end) for partition, end in self.found.ends.items())
        stretches = list(_stretches([one for one in taken if self._may_be_read(one)])) or [[]]
        found = rows_of(self.form, [[one.value or b"" for one in stretch] for stretch in stretches])
        for number, (stretch, rows) in enumerate(zip(stretches, found, strict=True), 1):
            self.share = number / len(stretches)
            for place, why in sorted(rows.wrong.items()):
                self._set_aside(stretch[place], why)
            frame = rows.frame
            if frame.width and self.options.meta:
                frame = frame.with_columns(_meta(stretch, rows.owners))
            yield wanted(frame.lazy(), self.ask).collect() if frame.width else frame
        self.bookmark = str(Bookmark(self.found.name, self.found.id, reached))

    def _may_be_read(self, one: Message) -> bool:
        if one.value is None:
            if not self.options.skips_tombstones:
                self._set_aside(one, "no value")
            return False
        if self.options.meta and not _is_text(one.key):
            self._set_aside(one, "its key is no text in UTF-8")
            return False
        return True

    def _set_aside(self, one: Message, why: str) -> None:
        self.undecoded.append(Undecoded(one.value or b"", f"{self.found.name}/{one.partition}/{one.offset}", why))


def _refuse_settings(address: Address) -> None:
    """Return when the URL, which members write and read, holds neither a secret nor a setting that is for the server.

    Some of librdkafka's settings name programs to run, libraries to load, and files.
    """
    known = {name for name in address.shown if name in (*_FREE, *_OPTIONS) or name.startswith(_FREE_KINDS)}
    held = sorted(address.shown - known)
    if "registry" in address.shown and urlsplit(address.settings["registry"]).password is not None:
        held.append("registry")
    if held:
        what, why = f"The URL {address} may not hold {held[0]}", "it is kept with the dataset, where others read and write it"
        step = "write secret=NAME: the server's variable MODELYARD_SECRET_NAME holds user, password and such settings"
        raise Problem("source.invalid", what, why, step)


def _stretches(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """Yield messages in stretches of bounded size."""
    stretch: list[Message] = []
    size = 0
    for one in messages:
        stretch.append(one)
        size += len(one.value or b"")
        if len(stretch) == STRETCH_MESSAGES or size >= STRETCH_BYTES:
            yield stretch
            stretch, size = [], 0
    if stretch:
        yield stretch


def _meta(messages: Sequence[Message], owners: pl.Series) -> list[pl.Series]:
    """Return the columns that tell where rows come from, each of the message that owns it."""
    values = {
        "kafka_time": pl.Series([one.at_ms for one in messages], dtype=pl.Int64).cast(pl.Datetime("ms", "UTC")),
        "kafka_key": pl.Series([None if one.key is None else one.key.decode() for one in messages], dtype=pl.String),
        "kafka_partition": pl.Series([one.partition for one in messages], dtype=pl.Int32),
        "kafka_offset": pl.Series([one.offset for one in messages], dtype=pl.Int64),
    }
    return [values[name].gather(owners).cast(dtype).alias(name) for name, dtype in _META.items()]


def _is_text(key: bytes | None) -> bool:
    try:
        return key is None or key.decode() is not None
    except UnicodeDecodeError:
        return False


def _invalid(what: str, why: str) -> Problem:
    return invalid(what, why, "source")
