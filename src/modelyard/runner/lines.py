"""What a try prints, as lines for the job's log."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from modelyard.core import Clock

Line = tuple[datetime, str, str]  # time, stream, text

MAX_LINE = 10_000  # characters; the rest of a longer line goes into further ones
MAX_KEPT_BYTES = 32 << 20


@dataclass
class LineBatch:
    """Lines that wait to be kept, in the order in which they came."""

    clock: Clock
    mask: Callable[[str], str]
    most_bytes: int = MAX_KEPT_BYTES  # of one try; a job that prints more is told so, once
    lines: list[Line] = field(default_factory=list)
    _rest: dict[str, bytes] = field(default_factory=dict)
    _kept_bytes: int = 0

    def print(self, stream: str, chunk: bytes) -> None:
        """Take in a part of what the try printed on `stream`."""
        *whole, self._rest[stream] = (self._rest.get(stream, b"") + chunk).split(b"\n")
        if len(self._rest[stream]) > MAX_LINE:
            whole.append(self._rest.pop(stream))
        for line in whole:
            self._add(stream, line)

    def end(self) -> None:
        """Take what was printed after the last line break as lines too."""
        for stream, rest in self._rest.items():
            if rest:
                self._add(stream, rest)
        self._rest.clear()

    def tell(self, text: str) -> None:
        """Add a line of the worker's own."""
        self.lines.append((self.clock(), "worker", self.mask(text)))

    def take(self, most: int) -> list[Line]:
        """Return up to `most` of the lines that wait, oldest first; they stay until `drop`."""
        return self.lines[:most]

    def drop(self, count: int) -> None:
        """Forget the oldest `count` lines: they are kept."""
        del self.lines[:count]

    def _add(self, stream: str, line: bytes) -> None:
        if self._kept_bytes > self.most_bytes:
            return
        self._kept_bytes += len(line) + 1
        if self._kept_bytes > self.most_bytes:
            self.tell(f"the job printed more than {self.most_bytes:,} bytes: what follows is not kept")
            return
        # Of a progress bar that is drawn over itself, what it came to; no database keeps a NUL in text.
        text = line.rstrip(b"\r").rpartition(b"\r")[2].decode(errors="replace").replace("\x00", "␀")
        text = self.mask(text)
        for start in range(0, max(len(text), 1), MAX_LINE):
            self.lines.append((self.clock(), stream, text[start : start + MAX_LINE]))
