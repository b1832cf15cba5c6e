"""What every store of tenants must do."""

from dataclasses import replace
from datetime import timedelta

import pytest

from modelyard.core import MemberId, OrganisationId, Problem, ProjectId
from modelyard.reactions import Metadata
from modelyard.tenancy import Limit, Membership, Role, TokenId
from modelyard.testing import examples
from modelyard.testing.examples import AIRPORT, BANK, CHURN, FLIGHTS, NOON
from modelyard.testing.metadata import StoreContract

ANN, BOB, EVE = MemberId("member_ann"), MemberId("member_bob"), MemberId("member_eve")


class TenancyStoreContract(StoreContract):
    """Two organisations: the airport with Ann and Bob, the bank with Eve."""

    @pytest.fixture(autouse=True)
    def tenants(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            tx.tenancy.add_organisations([examples.organisation(), examples.organisation(BANK, name="bank")])
            tx.tenancy.add_projects(AIRPORT, [examples.project()])
            tx.tenancy.add_projects(BANK, [examples.project(CHURN, BANK, name="churn")])
            tx.tenancy.add_members(AIRPORT, [examples.member("bob", role=None), examples.member("ann")])
            tx.tenancy.add_members(BANK, [examples.member("eve", BANK, role=Role.ADMIN)])

    def test_organisations_come_oldest_first(self, metadata: Metadata) -> None:
        oldest = replace(
            examples.organisation(OrganisationId("organisation_z"), name="zoo"), created_at=NOON - timedelta(days=1)
        )
        with metadata.transaction() as tx:
            tx.tenancy.add_organisations([oldest])
            found = tx.tenancy.organisations()
        assert found == [oldest, examples.organisation(), examples.organisation(BANK, name="bank")]

    def test_projects_and_members_come_by_name_and_whole(self, metadata: Metadata) -> None:
        second = examples.project(ProjectId("project_bags"), name="bags")
        with metadata.transaction() as tx:
            tx.tenancy.add_projects(AIRPORT, [second])
            assert tx.tenancy.projects(AIRPORT) == [second, examples.project()]
            assert tx.tenancy.members(AIRPORT) == [examples.member("ann"), examples.member("bob", role=None)]
            assert tx.tenancy.project_by_id(second.id) == second
            assert tx.tenancy.project_by_id(ProjectId("project_none")) is None

    def test_taken_names_are_refused_within_an_organisation_only(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            with pytest.raises(Problem) as told:
                tx.tenancy.add_organisations([examples.organisation(OrganisationId("organisation_2"))])
            assert told.value.code == "organisation.exists"
            with pytest.raises(Problem) as told:
                tx.tenancy.add_projects(AIRPORT, [examples.project(ProjectId("project_2"))])
            assert told.value.code == "project.exists"
            with pytest.raises(Problem) as told:
                tx.tenancy.add_members(AIRPORT, [replace(examples.member(), id=MemberId("member_2"))])
            assert told.value.code == "member.exists"
            tx.tenancy.add_projects(BANK, [examples.project(ProjectId("project_2"), BANK)])
            tx.tenancy.add_members(BANK, [replace(examples.member("ann", BANK), id=MemberId("member_2"))])

    def test_a_stranger_organisation_has_no_projects_or_members(self, metadata: Metadata) -> None:
        nowhere = OrganisationId("organisation_none")
        with metadata.transaction() as tx:
            with pytest.raises(Problem) as told:
                tx.tenancy.add_projects(nowhere, [examples.project(ProjectId("project_2"), nowhere)])
            assert told.value.code == "organisation.missing"
            with pytest.raises(Problem) as told:
                tx.tenancy.add_members(nowhere, [examples.member("max", nowhere)])
            assert told.value.code == "organisation.missing"

    def test_a_membership_is_replaced(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            tx.tenancy.save_memberships(AIRPORT, [Membership(FLIGHTS, BOB, Role.VIEWER), Membership(FLIGHTS, ANN, Role.ADMIN)])
            tx.tenancy.save_memberships(AIRPORT, [Membership(FLIGHTS, BOB, Role.APPROVER)])
            assert tx.tenancy.memberships(AIRPORT, BOB) == [Membership(FLIGHTS, BOB, Role.APPROVER)]
            assert len(tx.tenancy.memberships(AIRPORT)) == 2

    def test_memberships_stay_inside_the_organisation(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            for stranger in (Membership(FLIGHTS, EVE, Role.ADMIN), Membership(CHURN, ANN, Role.ADMIN)):
                for organisation in (AIRPORT, BANK):
                    with pytest.raises(Problem) as told:
                        tx.tenancy.save_memberships(organisation, [stranger])
                    assert told.value.code == "member.missing"
            assert tx.tenancy.memberships(AIRPORT) == tx.tenancy.memberships(BANK) == []

    def test_a_membership_cannot_be_taken_over_by_another_organisation(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            tx.tenancy.save_memberships(AIRPORT, [Membership(FLIGHTS, BOB, Role.VIEWER)])
            with pytest.raises(Problem):
                tx.tenancy.save_memberships(BANK, [Membership(FLIGHTS, BOB, Role.ADMIN)])
            assert tx.tenancy.memberships(AIRPORT) == [Membership(FLIGHTS, BOB, Role.VIEWER)]

    def test_a_token_is_found_by_its_hash(self, metadata: Metadata) -> None:
        lasting = replace(examples.token(2), role=None, expires_at=None)
        with metadata.transaction() as tx:
            tx.tenancy.add_tokens(AIRPORT, [examples.token(), lasting])
            tx.tenancy.add_tokens(BANK, [examples.token(1, BANK, holder="eve")])
            assert tx.tenancy.tokens(AIRPORT) == [examples.token(), lasting]
            assert tx.tenancy.token_by_hash(lasting.secret_hash) == lasting
            assert tx.tenancy.token_by_hash("0" * 64) is None

    def test_a_token_acts_for_a_member_of_its_organisation_only(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            with pytest.raises(Problem) as told:
                tx.tenancy.add_tokens(AIRPORT, [examples.token(holder="eve")])
            assert told.value.code == "member.missing"

    def test_a_revoked_token_stays_revoked_from_its_first_time(self, metadata: Metadata) -> None:
        ours = examples.token().id
        with metadata.transaction() as tx:
            tx.tenancy.add_tokens(AIRPORT, [examples.token(), examples.token(2)])
            tx.tenancy.revoke_tokens(AIRPORT, [ours], NOON)
            tx.tenancy.revoke_tokens(AIRPORT, [ours], NOON + timedelta(days=1))
            tx.tenancy.revoke_tokens(AIRPORT, [], NOON)
            assert [token.revoked_at for token in tx.tenancy.tokens(AIRPORT)] == [NOON, None]

    def test_a_token_has_the_limit_that_it_was_given_last(self, metadata: Metadata) -> None:
        limited = replace(examples.token(), limit=Limit(requests=2.5, burst=4))
        with metadata.transaction() as tx:
            tx.tenancy.add_tokens(AIRPORT, [limited, examples.token(2)])
            assert tx.tenancy.tokens(AIRPORT) == [limited, examples.token(2)]
            tx.tenancy.limit_tokens(AIRPORT, [limited.id, examples.token(2).id], Limit(rows=1e6))
            tx.tenancy.limit_tokens(AIRPORT, [limited.id], None)
            tx.tenancy.limit_tokens(AIRPORT, [], None)
            assert [token.limit for token in tx.tenancy.tokens(AIRPORT)] == [None, Limit(rows=1e6)]
            for unknown in (examples.token(1, BANK).id, TokenId("token_none")):
                with pytest.raises(Problem) as told:
                    tx.tenancy.limit_tokens(AIRPORT, [unknown], None)
                assert told.value.code == "token.missing"

    def test_a_foreign_or_unknown_token_is_not_revoked(self, metadata: Metadata) -> None:
        theirs = examples.token(1, BANK, holder="eve")
        with metadata.transaction() as tx:
            tx.tenancy.add_tokens(BANK, [theirs])
            for unknown in (theirs.id, TokenId("token_none")):
                with pytest.raises(Problem) as told:
                    tx.tenancy.revoke_tokens(AIRPORT, [unknown], NOON)
                assert told.value.code == "token.missing"
            assert tx.tenancy.tokens(BANK) == [theirs]

    def test_what_says_that_it_is_of_another_organisation_is_refused(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            with pytest.raises(Problem) as told:
                tx.tenancy.add_projects(BANK, [examples.project(ProjectId("project_2"), AIRPORT, name="new")])
            assert told.value.code == "project.missing"
            assert len(tx.tenancy.projects(AIRPORT)) == 1
