"""Deployments, revisions, rollouts."""

from collections.abc import Sequence

import sqlalchemy as sa

from modelyard.adapters.sql.session import Session
from modelyard.adapters.sql.tables import DEPLOYMENT, REVISION, ROLLOUT
from modelyard.adapters.sql.typed_table import TypedTable
from modelyard.core import Page, PageRequest, ProjectId
from modelyard.serving import Deployment, DeploymentId, Revision, Rollout, RolloutId, RolloutState


class SqlDeploymentStore:
    """`modelyard.serving.DeploymentStore`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._deployments = TypedTable(DEPLOYMENT, Deployment, "deployment")
        self._revisions = TypedTable(REVISION, Revision, "revision", key=("deployment", "number"))
        self._rollouts = TypedTable(ROLLOUT, Rollout, "rollout", shown_by="yard deployment list")

    def add(self, project: ProjectId, deployments: Sequence[Deployment]) -> None:
        """Insert; Problem `deployment.exists` on a taken name."""
        self._deployments.add(self._session, project, deployments)

    def save(self, project: ProjectId, deployments: Sequence[Deployment]) -> None:
        """Replace by id."""
        self._deployments.save(self._session, project, deployments)

    def find(self, project: ProjectId) -> list[Deployment]:
        """Return all, by name."""
        return self._deployments.find(self._session, project, order=("name",))

    def add_revisions(self, project: ProjectId, revisions: Sequence[Revision]) -> None:
        """Insert; Problem `deployment.conflict` when the number is taken."""
        self._revisions.add(self._session, project, revisions, taken="deployment.conflict", orphan="deployment.missing")

    def latest_revisions(self, project: ProjectId) -> list[Revision]:
        """Return the newest revision of each deployment that has one."""
        newest = (
            sa.select(REVISION.c.deployment, sa.func.max(REVISION.c.number))
            .where(self._revisions.within(project))
            .group_by(REVISION.c.deployment)
        )
        among = sa.tuple_(REVISION.c.deployment, REVISION.c.number).in_(newest)
        return self._revisions.find(self._session, project, among, order=("deployment",))

    def revisions(self, project: ProjectId, deployment: DeploymentId, page: PageRequest) -> Page[Revision]:
        """Return revisions, newest first."""
        return self._revisions.page(self._session, project, page, REVISION.c.deployment == deployment, by="number")

    def save_rollouts(self, project: ProjectId, rollouts: Sequence[Rollout]) -> None:
        """Insert or replace by id."""
        self._rollouts.put(self._session, project, rollouts)

    def get_rollouts(self, project: ProjectId, ids: Sequence[RolloutId]) -> list[Rollout]:
        """Return them in order. Problem `rollout.missing` for an unknown one."""
        return self._rollouts.get(self._session, project, [(id_,) for id_ in ids])

    def rollouts(
        self,
        project: ProjectId,
        page: PageRequest,
        *,
        deployment: DeploymentId | None = None,
        states: Sequence[RolloutState] = (),
    ) -> Page[Rollout]:
        """Return rollouts, newest first."""
        where = [] if deployment is None else [ROLLOUT.c.deployment == deployment]
        if states:
            where.append(ROLLOUT.c.state.in_([state.value for state in states]))
        return self._rollouts.page(self._session, project, page, *where)
