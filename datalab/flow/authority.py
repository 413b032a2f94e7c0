"""Who may administer what: one function, `may(principal, verb, resource)`, that every write and every metadata read asks.

Owns the authority table and nothing else; no row of it gives access to data, which only a `Decision` does. Must never read
storage: a `Resource` carries all that a cell depends on, so that the table can be tested cell by cell.

The operator of X is a participant_admin of X's operator participant; an X without an operator is the gateway operator's.
The members of a space are the participants admitted to it in any role; the members of a lab are those of a space it joined.
Who may write may read. Auditors only read the audit trail.

    resource                               read                                        write
    ai factory, data space, federation     everyone                                    gateway operator
      policy, verified participant
    application (participant unverified)   itself, gateway operator                    gateway operator
    contact of a participant               its admins, gateway operator                gateway operator
    space policy, admission                its members, gateway operator               the space's operator
    lab, lab policy                        its members, gateway operator               the lab's operator
    storage                                own participant                             own participant
    local storage                          own participant, gateway operator           gateway operator
    dataset (as its owner sees it)         provider                                    provider, in a space that admitted it
    dataset policy                         provider                                    the same
    client of a participant                its admins                                  its admins
    audit                                  provider: its datasets; space operator:     nobody
                                           its space; auditor, gateway operator: all
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from catalog import entities
from catalog.entities import ParticipantKind, ParticipantStatus, StorageKind
from datalab.flow.principal import Principal, Role

LOCAL_ISSUER = "local:"
"""Not a URL, so no token can ever carry it: only `operator_principal` makes such a principal."""


class Verb(StrEnum):
    READ = "read"
    WRITE = "write"


class Kind(StrEnum):
    AI_FACTORY = "ai_factory"
    DATA_SPACE = "data_space"
    PARTICIPANT = "participant"
    APPLICATION = "application"
    CONTACT = "contact"
    FEDERATION_POLICY = "federation_policy"
    SPACE_POLICY = "space_policy"
    ADMISSION = "admission"
    LAB = "lab"
    LAB_POLICY = "lab_policy"
    STORAGE = "storage"
    LOCAL_STORAGE = "local_storage"
    DATASET = "dataset"
    DATASET_POLICY = "dataset_policy"
    CLIENT = "client"
    AUDIT = "audit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What a cell of the table depends on.

    owner: participant id: the operator of a space or lab, the provider of a dataset, the participant that a storage,
    client, application or contact belongs to; None: the gateway's own. spaces: the data spaces it lies in (a space
    itself, those a lab joined, a dataset's). space_operator: for audit records of a dataset, its space's operator.
    """

    kind: Kind
    owner: str | None = None
    spaces: frozenset[str] = frozenset()
    space_operator: str | None = None


def may(principal: Principal, verb: Verb, resource: Resource) -> bool:
    """Whether this principal may do this; False for everything the table does not name."""
    if principal.issuer == LOCAL_ISSUER:
        return verb is Verb.READ or resource.kind is not Kind.AUDIT
    if principal.participant.status is not ParticipantStatus.VERIFIED:
        return False
    if verb is Verb.WRITE:
        return _may_write(principal, resource)
    return _may_read(principal, resource) or _may_write(principal, resource)


def _may_write(principal: Principal, resource: Resource) -> bool:
    match resource.kind:
        case (
            Kind.AI_FACTORY
            | Kind.DATA_SPACE
            | Kind.PARTICIPANT
            | Kind.APPLICATION
            | Kind.CONTACT
            | Kind.FEDERATION_POLICY
            | Kind.LOCAL_STORAGE
        ):
            return _is_gateway_operator(principal)
        case Kind.SPACE_POLICY | Kind.ADMISSION | Kind.LAB | Kind.LAB_POLICY:
            return _is_operator(principal, resource.owner)
        case Kind.STORAGE:
            return _acts_for(principal, resource.owner)
        case Kind.DATASET | Kind.DATASET_POLICY:
            return _acts_for(principal, resource.owner) and resource.spaces <= principal.spaces
        case Kind.CLIENT:
            return _is_admin_of(principal, resource.owner)
        case _:
            return False


def _may_read(principal: Principal, resource: Resource) -> bool:
    match resource.kind:
        case Kind.AI_FACTORY | Kind.DATA_SPACE | Kind.PARTICIPANT | Kind.FEDERATION_POLICY:
            return True
        case Kind.APPLICATION:
            return principal.participant.id == resource.owner
        case Kind.CONTACT:
            return _is_admin_of(principal, resource.owner)
        case Kind.SPACE_POLICY | Kind.ADMISSION | Kind.LAB | Kind.LAB_POLICY:
            return bool(resource.spaces & principal.spaces) or _is_gateway_operator(principal)
        case Kind.STORAGE | Kind.LOCAL_STORAGE | Kind.DATASET | Kind.DATASET_POLICY:
            return _acts_for(principal, resource.owner)
        case Kind.AUDIT:
            return (
                bool(principal.roles & {Role.AUDITOR, Role.GATEWAY_OPERATOR})
                or _acts_for(principal, resource.owner)
                or _is_admin_of(principal, resource.space_operator)
            )
        case _:
            return False


def _is_gateway_operator(principal: Principal) -> bool:
    return Role.GATEWAY_OPERATOR in principal.roles


def _is_admin_of(principal: Principal, participant: str | None) -> bool:
    return participant == principal.participant.id and Role.PARTICIPANT_ADMIN in principal.roles


def _is_operator(principal: Principal, participant: str | None) -> bool:
    return _is_gateway_operator(principal) if participant is None else _is_admin_of(principal, participant)


def _acts_for(principal: Principal, participant: str | None) -> bool:
    """A member or an admin of that participant; the roles that only watch or operate do not act for it."""
    return participant == principal.participant.id and bool(principal.roles & {Role.MEMBER, Role.PARTICIPANT_ADMIN})


def operator_principal(subject: str) -> Principal:
    """The person at the machine, who holds the database file: may register everything, and reaches no data by it.

    subject: who it is, for the audit trail, e.g. `os-user:maria`. Must never be made for a request that came in by HTTP.
    """
    return Principal(
        issuer=LOCAL_ISSUER,
        subject=subject,
        client_id=None,
        participant=entities.Participant(
            id="",
            legal_name="The operator of this gateway",
            country="EU",
            kind=ParticipantKind.PUBLIC,
            status=ParticipantStatus.VERIFIED,
        ),
        roles=frozenset({Role.GATEWAY_OPERATOR}),
        scopes=frozenset(),
        spaces=frozenset(),
        token_id="",
    )


def of_factory() -> Resource:
    return Resource(kind=Kind.AI_FACTORY)


def of_space() -> Resource:
    return Resource(kind=Kind.DATA_SPACE)


def of_participant(participant: entities.Participant) -> Resource:
    verified = participant.status is ParticipantStatus.VERIFIED
    return Resource(kind=Kind.PARTICIPANT if verified else Kind.APPLICATION, owner=participant.id)


def of_contact(participant: entities.Participant) -> Resource:
    return Resource(kind=Kind.CONTACT, owner=participant.id)


def of_admissions(space: entities.DataSpace) -> Resource:
    return Resource(kind=Kind.ADMISSION, owner=space.operator, spaces=frozenset({space.id}))


def of_lab(lab: entities.DataLab) -> Resource:
    return Resource(kind=Kind.LAB, owner=lab.operator, spaces=frozenset(lab.spaces))


def of_storage(storage: entities.Storage) -> Resource:
    local = storage.kind is StorageKind.LOCAL
    return Resource(kind=Kind.LOCAL_STORAGE if local else Kind.STORAGE, owner=storage.participant)


def of_dataset(dataset: entities.Dataset) -> Resource:
    return Resource(kind=Kind.DATASET, owner=dataset.provider, spaces=frozenset({dataset.space}))


def of_clients(participant: str) -> Resource:
    return Resource(kind=Kind.CLIENT, owner=participant)


def of_federation_policies() -> Resource:
    return Resource(kind=Kind.FEDERATION_POLICY)


def of_space_policies(space: entities.DataSpace) -> Resource:
    return Resource(kind=Kind.SPACE_POLICY, owner=space.operator, spaces=frozenset({space.id}))


def of_lab_policies(lab: entities.DataLab) -> Resource:
    return Resource(kind=Kind.LAB_POLICY, owner=lab.operator, spaces=frozenset(lab.spaces))


def of_dataset_policies(dataset: entities.Dataset) -> Resource:
    return Resource(kind=Kind.DATASET_POLICY, owner=dataset.provider, spaces=frozenset({dataset.space}))


def of_audit(dataset: entities.Dataset | None = None, space: entities.DataSpace | None = None) -> Resource:
    """The trail of that dataset (give its space too), of that space, or of everything."""
    return Resource(
        kind=Kind.AUDIT, owner=dataset.provider if dataset else None, space_operator=space.operator if space else None
    )
