"""The sender of OpenLineage events: beside the follower, so that a receiver that is slow or away is in nobody's way.

Each project's events go out in order, each at least once: what was sent is marked after it was taken.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from threading import Event as Flag

from modelyard.adapters import LINEAGE, connect
from modelyard.core import JsonObject, Problem, ProblemKind, ProjectId, canonical_json
from modelyard.serving.openlineage.events import KINDS, run_events
from modelyard.wiring.platform import Platform

CONSUMER = "openlineage"
BATCH = 100
LOOK_S = 1.0
LONGEST_PAUSE_S = 60.0
logger = logging.getLogger(__name__)


class LineageSender:
    """Sends what happens in every project of the platform to one receiver."""

    def __init__(self, platform: Platform, send: Callable[[bytes], None]) -> None:
        self._platform = platform
        self._send = send

    def run(self, stop: Flag) -> None:
        """Send until `stop` is set, then what is left. While nobody takes it the log says why, and pauses grow to a minute."""
        pause_s, said = LOOK_S, ""
        while not stop.wait(pause_s):
            try:
                self.send_all()
                pause_s, said = LOOK_S, ""
            except Exception as error:  # whatever it is, what was not sent waits, and the platform works on
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                if said != str(error):
                    logger.warning("lineage waits: %s", error, exc_info=not isinstance(error, Problem))
                said = str(error)
        if not said:
            with suppress(Problem):
                self.send_all()

    def send_all(self) -> int:
        """Send what has happened since, in every project, and return how many events were taken."""
        with self._platform.reading() as tx:
            projects = [project.id for one in tx.tenancy.organisations() for project in tx.tenancy.projects(one.id)]
        return sum(self._send_project(project) for project in projects)

    def _send_project(self, project: ProjectId) -> int:
        sent = 0
        while True:
            with self._platform.reading() as tx:
                after = tx.events.cursor(project, CONSUMER)
                facts = tx.events.read(project, after=after, limit=BATCH, kinds=KINDS)
                told = run_events(self._platform, project, facts)
            if not told:
                return sent
            try:
                for fact, events in told:
                    for event in events:
                        self._send_one(event)
                        sent += 1
                    after = fact.position
            finally:
                with self._platform.transaction() as tx:
                    tx.events.advance(project, CONSUMER, after)

    def _send_one(self, event: JsonObject) -> None:
        try:
            self._send(canonical_json(event).encode())
        except Problem as problem:
            if problem.kind is not ProblemKind.REFUSED:
                raise
            logger.warning("lineage of %s is passed over: %s", event["job"]["name"], problem)


def open_sender(platform: Platform) -> LineageSender | None:
    """Return what sends events where the setting `openlineage` says; None: it says nowhere.

    Raises
    ------
    Problem
        `adapter.missing` for an unknown scheme; `settings.invalid` for a URL that names no receiver, and what secrets raise.
    """
    url = platform.settings.openlineage
    return LineageSender(platform, connect(LINEAGE, url)) if url else None
