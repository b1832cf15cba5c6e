"""The follower: turns events and the clock into what comes next, project by project, one turn after the other.

Each consumer goes on from where it stood; a turn that is cut off is done again by the next.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from threading import Event as Flag

from modelyard.core import Effort, MemberId, Problem, ProjectId
from modelyard.data.features.service import follow as follow_features
from modelyard.events import Event
from modelyard.jobs.service import lapse, run_due
from modelyard.reactions.service import turn
from modelyard.registry.best import follow_best
from modelyard.serving.service import follow_aliases
from modelyard.tenancy import Actor
from modelyard.tenancy.service import actor_of
from modelyard.training.service import follow as follow_training
from modelyard.wiring.platform import Platform

IDLE_S = 0.1  # between two looks whether anything has changed
REST = timedelta(seconds=1)  # between two turns while nothing has
BATCH = 500
logger = logging.getLogger(__name__)
Consumer = Callable[[Platform, Callable[[MemberId], Actor], ProjectId, list[Event]], object]


class Follower:
    """Follows every project of the platform."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.turned: dict[ProjectId, datetime] = {}  # project → the clock's time of its last whole turn
        self.failing: dict[ProjectId, str] = {}  # project → what its last turn broke on
        self.hurried = Flag()  # somebody waits for the next turn
        self._heard: dict[ProjectId, list[int]] = {}  # project → the newest event, once no consumer had anything left to do

    def run(self, stop: Flag) -> None:
        """Turn until `stop` is set. While nothing changes, a turn a second finds what time alone has made due."""
        platform = self._platform
        while not stop.is_set():
            self.hurried.clear()
            changes, now = platform.metadata.changes(), platform.clock()
            busy = self.turn_all()
            while not busy and not stop.wait(IDLE_S):
                busy = changes is None or platform.metadata.changes() != changes or abs(platform.clock() - now) >= REST
                busy |= self.hurried.is_set()

    def turn_all(self) -> bool:
        """Do one turn of every project, and return whether there was anything to do. One that fails never stops the others."""
        busy = False
        try:
            lapse(self._platform)
            projects = self._projects()
        except Problem as problem:  # the database is away: the next turn tries again
            logger.warning("the follower waits: %s", problem)
            time.sleep(IDLE_S)
            return False
        for project in projects:
            try:
                busy |= self.turn(project)
                self.failing.pop(project, None)
            except Exception as error:  # a turn is repeated; what it broke on is shown, and logged once
                if self.failing.get(project) != str(error):
                    logger.exception("the turn of %s broke off", project)
                self.failing[project] = str(error)
        return busy

    def turn(self, project: ProjectId) -> bool:
        """Do all that is due in one project; return whether there was anything. What breaks off stops nothing else.

        With nothing to do it costs seven short queries, which wait for nobody.
        """
        platform, now, effort = self._platform, self._platform.clock(), Effort()
        with platform.reading() as tx:
            newest = [event.position for event in tx.events.read(project, newest_first=True, limit=1)]
            scheduled = any(one.enabled and one.next_at <= now for one in tx.jobs.schedules(project))
        busy = scheduled and effort.make(lambda: bool(run_due(platform, project)), False)
        if newest != self._heard.get(project):
            heard = [
                effort.make(partial(self._consume, project, "training", follow_training), True),
                effort.make(partial(self._consume, project, "registry", follow_best), True),
                effort.make(partial(self._consume, project, "serving", follow_aliases), True),
                effort.make(partial(self._consume, project, "features", follow_features), True),
            ]
            busy |= any(heard)
            if not any(heard):
                self._heard[project] = newest
        busy |= effort.make(lambda: bool(turn(platform, project)), False)
        effort.end()
        if not busy:
            self.turned[project] = now
        return busy

    def _consume(self, project: ProjectId, consumer: str, work: Consumer) -> bool:
        """Do a consumer's work, then move its cursor: work cut off in between is done again, which every consumer bears."""
        with self._platform.reading() as tx:
            events = tx.events.read(project, after=tx.events.cursor(project, consumer), limit=BATCH)
        if not events:
            return False
        work(self._platform, self._actor, project, events)
        with self._platform.transaction() as tx:
            tx.events.advance(project, consumer, events[-1].position)
        return True

    def _projects(self) -> list[ProjectId]:
        with self._platform.reading() as tx:
            return [project.id for one in tx.tenancy.organisations() for project in tx.tenancy.projects(one.id)]

    def _actor(self, member: MemberId) -> Actor:
        return actor_of(self._platform, member)
