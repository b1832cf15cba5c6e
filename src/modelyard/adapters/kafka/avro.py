"""Messages that are Avro records, told by a schema's fingerprint or by its number in a registry.

Two ways of saying by which schema a message was written: Avro's single-object encoding (`C3 01` and a fingerprint),
whose schemas lie in files; and Confluent's (`00` and a number), whose schemas a registry tells. Where files are named, the
first schema is the reader's: what was written by another one is resolved to it, as Avro's specification has that.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from fastavro import parse_schema, schemaless_reader
from fastavro.schema import fingerprint, to_parsing_canonical_form

from modelyard.adapters.kafka.columns import Document
from modelyard.adapters.kafka.forms import Undecodable
from modelyard.core import Problem, first_line

_SINGLE: Final = b"\xc3\x01"
_NUMBERED: Final = b"\x00"
_SINGLE_HEAD, _NUMBERED_HEAD = 10, 5  # bytes before the record
_FORBIDDEN: Final = frozenset({401, 403})
_MISSING: Final = 404
_TYPE: Final = {"accept": "application/vnd.schemaregistry.v1+json"}

Schema = Any  # a schema as fastavro has parsed it


@dataclass(frozen=True)
class Registry:
    """A registry of schemas that speaks Confluent's protocol. Its URL may hold a password: only `str` of it is for people."""

    url: str = field(repr=False)
    patience_s: float = 15.0
    _known: dict[int, Schema] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"

    def schema(self, number: int) -> Schema:
        """Return the schema of a number, which never changes.

        Raises
        ------
        Undecodable
            For a number that it does not know, and for what is no schema of Avro.
        Problem
            `source.unavailable`, `source.forbidden`.
        """
        if number not in self._known:
            self._known[number] = self._ask(number)
        found = self._known[number]
        if isinstance(found, Undecodable):
            raise found
        return found

    def _ask(self, number: int) -> Schema | Undecodable:
        try:
            answer = httpx.get(f"{self.url.rstrip('/')}/schemas/ids/{number}", headers=_TYPE, timeout=self.patience_s)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._away(first_line(error)) from error
        if answer.status_code in _FORBIDDEN:
            why = f"it answers {answer.status_code} {answer.reason_phrase}"
            step = "ask its owner for a registry that this server may read"
            raise Problem("source.forbidden", f"The schema registry {self} does not let us in", why, step)
        if answer.status_code == _MISSING:
            return Undecodable(f"the registry {self} knows no schema {number}")
        if not answer.is_success:
            raise self._away(f"it answers {answer.status_code} {answer.reason_phrase}")
        try:
            told = answer.json()
            if told.get("schemaType", "AVRO") != "AVRO" or told.get("references"):
                return Undecodable(f"schema {number} of the registry {self} is none of Avro, or refers to others")
            return parse_schema(json.loads(told["schema"]))
        except Exception as error:  # a stranger's schema may break in any way
            return Undecodable(f"schema {number} of the registry {self} cannot be read: {type(error).__name__}")

    def _away(self, why: str) -> Problem:
        return Problem("source.unavailable", f"The schema registry {self} cannot be asked", why, "try again when it answers")


@dataclass(frozen=True)
class AvroRecords:
    """What reads messages that are Avro records, as `forms.Decode`."""

    reader: Schema | None
    written: Mapping[bytes, Schema]  # by fingerprint, as it stands in a message
    registry: Registry | None

    @classmethod
    def of(cls, files: Sequence[str], registry: Registry | None) -> "AvroRecords":
        """Return what reads by the schemas of files, the first of which is the reader's. Problem `source.invalid`."""
        schemas = [_schema_of(Path(file)) for file in files]
        known = {bytes.fromhex(fingerprint(to_parsing_canonical_form(one), "CRC-64-AVRO")): one for one in schemas}
        return cls(schemas[0] if schemas else None, known, registry)

    def __call__(self, message: bytes) -> list[Document]:
        """Return the record that a message is."""
        schema, start = self._written_by(message)
        content = BytesIO(message)
        content.seek(start)
        try:
            found = schemaless_reader(content, schema, self.reader)
        except Exception as error:  # broken bytes may break it in any way
            raise Undecodable(f"it is no record of its schema: {first_line(error)}") from error
        if not isinstance(found, dict):
            raise Undecodable("its schema is no record's")
        if content.tell() != len(message):
            raise Undecodable(f"{len(message) - content.tell()} bytes are left after its record")
        return [found]

    def _written_by(self, message: bytes) -> tuple[Schema, int]:
        if message[:2] == _SINGLE and len(message) >= _SINGLE_HEAD:
            known = self.written.get(message[2:_SINGLE_HEAD])
            if known is None:
                told = message[2:_SINGLE_HEAD][::-1].hex()
                raise Undecodable(f"it was written by a schema of the fingerprint {told}, which no file that is named holds")
            return known, _SINGLE_HEAD
        if message[:1] == _NUMBERED and len(message) >= _NUMBERED_HEAD:
            number = int.from_bytes(message[1:_NUMBERED_HEAD], "big")
            if self.registry is None:
                raise Undecodable(f"it was written by schema {number} of a registry, and none is named")
            return self.registry.schema(number), _NUMBERED_HEAD
        raise Undecodable("it begins neither as a single Avro object (C3 01) nor with a schema's number (00)")


def _schema_of(file: Path) -> Schema:
    try:
        return parse_schema(json.loads(file.read_text()))
    except Exception as error:  # a schema may be wrong in any way
        step = "name files of Avro schemas, the one to read by first"
        why = f"it holds no Avro schema ({type(error).__name__})"  # what else it holds is not for whoever names it
        raise Problem("source.invalid", f"The schema {file} cannot be read", why, step) from error
