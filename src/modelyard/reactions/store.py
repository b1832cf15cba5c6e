"""The port of reactions."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from modelyard.core import Page, PageRequest, ProjectId
from modelyard.monitoring import MonitoringTransaction
from modelyard.reactions.types import ActionKind, Decision, DecisionId, Policy


class PolicyStore(Protocol):
    """Policies and decisions."""

    def save(self, project: ProjectId, policies: Sequence[Policy]) -> None:
        """Insert, or replace by name."""
        ...

    def find(self, project: ProjectId) -> list[Policy]:
        """Return all, by name."""
        ...

    def add_decisions(self, project: ProjectId, decisions: Sequence[Decision]) -> None:
        """Insert; Problem `decision.conflict` when a RETRAIN of the same cause is there: one job per cause."""
        ...

    def save_decisions(self, project: ProjectId, decisions: Sequence[Decision]) -> None:
        """Replace by id (only `undone_at` and `undone_by` ever change)."""
        ...

    def get_decisions(self, project: ProjectId, ids: Sequence[DecisionId]) -> list[Decision]:
        """Return them in order. Problem `decision.missing` for an unknown one."""
        ...

    def decisions(
        self,
        project: ProjectId,
        page: PageRequest,
        *,
        deployment: str | None = None,
        actions: Sequence[ActionKind] = (),
        since: datetime | None = None,
    ) -> Page[Decision]:
        """Return decisions, newest first."""
        ...


class ReactionTransaction(MonitoringTransaction, Protocol):
    """The part of a transaction that this slice needs."""

    @property
    def policies(self) -> PolicyStore:
        """Policies and decisions."""
        ...


class Metadata(Protocol):
    """The metadata database: transactions over every slice's store. It stands here since no slice below knows all of them."""

    def transaction(self) -> AbstractContextManager[ReactionTransaction]:
        """Open a transaction; inside another one of the same thread, join it."""
        ...

    def reading(self) -> AbstractContextManager[ReactionTransaction]:
        """Open a transaction that only reads one snapshot, and neither waits for writers nor makes them wait.

        Transactions opened inside it join it: wrap a use case in this where it is known to write nothing, such as for a GET.
        """
        ...

    def hold(self, name: str, *, lease_s: float = ..., patience_s: float = ...) -> AbstractContextManager[Callable[[], None]]:
        """Keep all others, in whatever process, from holding `name`, outside of transactions.

        Gives what renews the lease, and raises Problem `lock.conflict` once it was lost: to be called before each thing that
        nobody else may do at the same time. A holder that is killed keeps the lock until its lease ends.

        Raises
        ------
        Problem
            `lock.timeout`.
        """
        ...

    def changes(self) -> int | None:
        """Return a number that is another one once anybody has committed a change; None: whoever wants to know has to look.

        For whoever waits for news. It says nothing of how much has changed, and is of use only beside one of this very object.
        It never raises: what is wrong with the database is told to who looks.
        """
        ...

    def upgrade(self) -> None:
        """Bring the tables to this version's form. Safe to repeat and to race."""
        ...

    def close(self) -> None:
        """Give back all connections."""
        ...
