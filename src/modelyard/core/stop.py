"""A request to end, as a signal leaves it: something that a wait wakes from at once.

Not `threading.Event`: a handler that sets one while its thread is at `wait` waits for ever, for a lock that this thread holds.
"""

import os
import select
import signal
from contextlib import suppress


class Stop:
    """Set by SIGTERM or SIGINT once `heed` was called, or by `set`."""

    def __init__(self) -> None:
        self.descriptor, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self.asked = False

    def heed(self) -> None:
        """Take SIGTERM and SIGINT as the request to end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, frame: self.set())

    def set(self) -> None:
        """Ask for the end."""
        self.asked = True
        with suppress(BlockingIOError):
            os.write(self._write, b"x")

    def wait(self, seconds: float) -> bool:
        """Wait until the end is asked for, at most so long; return whether it is."""
        if not self.asked:
            select.select([self.descriptor], [], [], seconds)
        return self.asked
