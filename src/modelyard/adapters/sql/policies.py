"""Policies and decisions."""

from collections.abc import Sequence
from datetime import datetime

from modelyard.adapters.sql.session import Session
from modelyard.adapters.sql.tables import DECISION, POLICY
from modelyard.adapters.sql.typed_table import TypedTable
from modelyard.core import Page, PageRequest, ProjectId
from modelyard.reactions import ActionKind, Decision, DecisionId, Policy


class SqlPolicyStore:
    """`modelyard.reactions.PolicyStore`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._policies = TypedTable(POLICY, Policy, "policy", key=("name",))
        self._decisions = TypedTable(DECISION, Decision, "decision")

    def save(self, project: ProjectId, policies: Sequence[Policy]) -> None:
        """Insert, or replace by name."""
        self._policies.put(self._session, project, policies)

    def find(self, project: ProjectId) -> list[Policy]:
        """Return all, by name."""
        return self._policies.find(self._session, project, order=("name",))

    def add_decisions(self, project: ProjectId, decisions: Sequence[Decision]) -> None:
        """Insert; Problem `decision.conflict` when a RETRAIN of the same cause is there: one job per cause."""
        self._decisions.add(self._session, project, decisions, taken="decision.conflict")

    def save_decisions(self, project: ProjectId, decisions: Sequence[Decision]) -> None:
        """Replace by id (only `undone_at` and `undone_by` ever change)."""
        self._decisions.save(self._session, project, decisions)

    def get_decisions(self, project: ProjectId, ids: Sequence[DecisionId]) -> list[Decision]:
        """Return them in order. Problem `decision.missing` for an unknown one."""
        return self._decisions.get(self._session, project, [(id_,) for id_ in ids])

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
        where = [] if deployment is None else [DECISION.c.deployment == deployment]
        if actions:
            where.append(DECISION.c.action.in_([action.value for action in actions]))
        if since is not None:
            where.append(DECISION.c.at >= since)
        return self._decisions.page(self._session, project, page, *where)
