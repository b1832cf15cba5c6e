"""Every store over one open transaction."""

from modelyard.adapters.sql.datasets import SqlDatasetStore
from modelyard.adapters.sql.deployments import SqlDeploymentStore
from modelyard.adapters.sql.events import SqlEventStore
from modelyard.adapters.sql.jobs import SqlJobStore
from modelyard.adapters.sql.models import SqlModelStore
from modelyard.adapters.sql.monitors import SqlMonitorStore
from modelyard.adapters.sql.pipelines import SqlPipelineStore
from modelyard.adapters.sql.policies import SqlPolicyStore
from modelyard.adapters.sql.runs import SqlRunStore
from modelyard.adapters.sql.session import Session
from modelyard.adapters.sql.tenancy import SqlTenancyStore


class SqlTransaction:
    """The transaction of every slice: `modelyard.reactions.ReactionTransaction`, and so all below it."""

    def __init__(self, session: Session) -> None:
        self.events = SqlEventStore(session)
        self.tenancy = SqlTenancyStore(session)
        self.jobs = SqlJobStore(session)
        self.datasets = SqlDatasetStore(session)
        self.pipelines = SqlPipelineStore(session)
        self.runs = SqlRunStore(session)
        self.models = SqlModelStore(session)
        self.deployments = SqlDeploymentStore(session)
        self.monitors = SqlMonitorStore(session)
        self.policies = SqlPolicyStore(session)
