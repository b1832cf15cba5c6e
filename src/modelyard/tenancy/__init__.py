"""Organisations, projects, members, roles and tokens; `authorise` stands before every use case."""

from modelyard.tenancy.rules import LEAST_ROLE, RANK, authorise, authorise_organisation, role_in
from modelyard.tenancy.store import TenancyStore, TenancyTransaction
from modelyard.tenancy.types import Actor, Limit, Member, Membership, Organisation, Project, Role, Token, TokenId

__all__ = [
    "LEAST_ROLE",
    "RANK",
    "Actor",
    "Limit",
    "Member",
    "Membership",
    "Organisation",
    "Project",
    "Role",
    "TenancyStore",
    "TenancyTransaction",
    "Token",
    "TokenId",
    "authorise",
    "authorise_organisation",
    "role_in",
]
