"""What decisions on many datasets need, in three statements, under the keys by which the reader remembers it.

Owns these statements. Must never leave an answer out: what is absent is remembered as absent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog.entities import Dataset, PolicyRecord, Version, VersionStatus
from datalab.db.columns import entity_of
from datalab.db.datasets import DatasetRow
from datalab.db.policies import PolicyRow, in_force, policy_record
from datalab.db.versions import VersionRow, version_of


def about(session: Session, datasets: Sequence[Dataset]) -> Iterator[tuple[tuple[object, ...], Any]]:
    """(key, answer) pairs: each dataset's row, newest published version without files, and policies of its own level."""
    uids = [one.uid for one in datasets]
    rows = session.execute(select(DatasetRow).where(DatasetRow.uid.in_(uids))).scalars()
    present = {row.uid: entity_of(row, Dataset) for row in rows}
    versions = _newest(session, uids)
    policies = _policies(session, [f"dataset:{one.key}" for one in datasets])
    for one in datasets:
        if one.uid not in present:
            continue  # it went away or was registered anew since the list was read: it will be asked for by itself
        yield (Dataset, one.space, one.name), present[one.uid]
        yield (Version, one.uid, None, False), versions.get(one.uid)
        yield (PolicyRecord, f"dataset:{one.key}"), tuple(policies[f"dataset:{one.key}"])


def _newest(session: Session, uids: Sequence[str]) -> dict[str, Version]:
    published = (VersionRow.dataset_uid.in_(uids), VersionRow.status == VersionStatus.PUBLISHED)
    newest = (
        select(VersionRow.dataset_uid.label("uid"), func.max(VersionRow.number).label("number"))
        .where(*published)
        .group_by(VersionRow.dataset_uid)
        .subquery()
    )
    query = select(VersionRow).join(
        newest, (VersionRow.dataset_uid == newest.c.uid) & (VersionRow.number == newest.c.number)
    )
    return {row.dataset_uid: version_of(row, ()) for row in session.execute(query).scalars()}


def _policies(session: Session, scopes: Sequence[str]) -> defaultdict[str, list[PolicyRecord]]:
    found: defaultdict[str, list[PolicyRecord]] = defaultdict(list)
    for row, document in session.execute(in_force().where(PolicyRow.scope.in_(scopes)).order_by(PolicyRow.id)):
        found[row.scope].append(policy_record(row, document))
    return found
