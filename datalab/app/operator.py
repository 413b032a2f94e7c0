"""The participant that operates a gateway, as `datalab init` makes it unless told otherwise."""

from __future__ import annotations

from catalog.entities import Participant, ParticipantKind, ParticipantStatus

OPERATOR = Participant(
    id="operator",
    legal_name="The operator of this gateway",
    country="LU",  # where EuroHPC sits; `datalab init --country` says where the operator does
    kind=ParticipantKind.PUBLIC,
    status=ParticipantStatus.VERIFIED,
)
