"""A registry of schemas that speaks Confluent's protocol, as far as producers and readers of Avro need it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.listening import Quiet, listening


@dataclass
class SchemaRegistry:
    """Listens on loopback. Schemas are numbered from 1; what was asked for is kept."""

    schemas: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    status: int = 200  # of every answer, where it is another one
    url: str = ""

    def add(self, schema: Any, **more: Any) -> int:
        """Keep a schema and return its number."""
        self.schemas.append({"schema": json.dumps(schema), **more})
        return len(self.schemas)

    def answer(self, path: str) -> tuple[int, Any]:
        """Return status and body of an answer."""
        self.asked.append(path)
        number = path.removeprefix("/schemas/ids/")
        if self.status != 200:
            return self.status, {"error_code": self.status * 100 + 1, "message": "no"}
        if not number.isdigit() or not 1 <= int(number) <= len(self.schemas):
            return 404, {"error_code": 40403, "message": "Schema not found"}
        return 200, self.schemas[int(number) - 1]


@contextmanager
def registering() -> Iterator[SchemaRegistry]:
    """Give a registry that listens."""
    found = SchemaRegistry()
    with listening(_handler(found)) as found.url:
        yield found


def _handler(registry: SchemaRegistry) -> type[Quiet]:
    class Handler(Quiet):
        def do_GET(self) -> None:
            status, told = registry.answer(self.path)
            content = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("content-type", "application/vnd.schemaregistry.v1+json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler
