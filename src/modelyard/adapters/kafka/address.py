"""What a topic's URL says, and what the client's errors mean."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from confluent_kafka import KafkaError

from modelyard.core import Problem

CALL_S = 5.0  # one try of a call to the broker
SILENT = 2  # librdkafka's log below "critical": what matters is told by the errors
OURS = frozenset({
    "bootstrap.servers", "group.id", "transactional.id", "enable.idempotence", "enable.auto.commit", "enable.auto.offset.store",
    "isolation.level", "acks", "request.required.acks", "log_level",
})  # fmt: skip
AWAY = frozenset({
    KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._RESOLVE,
})  # fmt: skip
REFUSED = frozenset({
    KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
})  # fmt: skip


@dataclass(frozen=True)
class Address:
    """What a URL says. Its settings may be secret: only `str` of it is for people."""

    servers: str
    topic: str
    settings: Mapping[str, str] = field(repr=False)
    shown: frozenset[str] = field(default=frozenset(), repr=False)  # settings that stand in the URL itself, not in a file

    def __str__(self) -> str:
        return f"kafka://{self.servers}/{self.topic}"

    @classmethod
    def parse(cls, url: str, noun: str = "broker", *, files: bool = True) -> "Address":
        """Return what a URL says; without `files` it may name none with settings: who wrote it is not who runs this.

        >>> Address.parse("kafka://one:9092,two:9092/requests?security.protocol=SSL")
        Address(servers='one:9092,two:9092', topic='requests')

        Raises
        ------
        Problem
            `broker.invalid`, or that of another noun.
        """
        scheme, _, rest = url.partition("://")
        head, _, query = rest.partition("?")
        place, _, topic = head.partition("/")
        who, _, servers = place.rpartition("@")
        told = f"kafka://{servers}/{topic}"
        if scheme != "kafka" or not servers or not topic or "/" in topic:
            raise invalid(f"{told} names no topic", "a topic's URL is kafka://HOST:PORT/TOPIC", noun)
        options = dict(parse_qsl(query, keep_blank_values=True))
        file = options.pop("config", None)
        if file is not None and not files:
            why = "a source could send what stands in a file of the server to any broker"
            raise invalid(f"{told} names settings in a file", why, noun, "write secret=NAME, and other settings into the URL")
        if who:
            user, colon, password = who.partition(":")
            options |= {"sasl.username": unquote(user)} | ({"sasl.password": unquote(password)} if colon else {})
        settings = {**(_settings_of(Path(file), noun) if file is not None else {}), **options}
        taken = sorted(OURS & settings.keys())
        if taken:
            raise invalid(f"The setting {taken[0]} of {told} is not free", "exactly-once hangs on it", noun)
        return cls(servers, unquote(topic), settings, frozenset(options))


def invalid(what: str, why: str, noun: str = "broker", step: str = "kafka://HOST:PORT/TOPIC?security.protocol=SSL") -> Problem:
    """Return the problem of an address that cannot be used."""
    return Problem(f"{noun}.invalid", what, why, step)


def _settings_of(file: Path, noun: str) -> dict[str, str]:
    try:
        lines = [line.strip() for line in file.read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise invalid(f"The settings {file} cannot be read", str(error), noun) from error
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name.strip(): value.strip() for name, _, value in pairs}
