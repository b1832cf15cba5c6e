"""Apache Kafka: the broker of streams that are answered, and topics as sources of datasets.

URLs: `kafka://HOST:PORT[,HOST:PORT…]/TOPIC?NAME=VALUE&…` with librdkafka's settings, such as `security.protocol=SASL_SSL`;
`kafka://USER:PASSWORD@…` for SASL. `config=FILE` takes settings from a file of lines `NAME=VALUE`, which keeps secrets off the
command line.
"""

from modelyard.adapters.kafka.address import Address
from modelyard.adapters.kafka.broker import KafkaBroker
from modelyard.adapters.kafka.source import KafkaSource

__all__ = ["Address", "KafkaBroker", "KafkaSource"]
