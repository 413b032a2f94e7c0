"""The examination of an audit trail: what was altered, forged, moved or removed, and which records exactly.

Owns the rules that a whole trail obeys. Reads one snapshot, record by record; must never write, and never trust a column
beside a body. What it can find ends where the last checkpoint ends for a tail that was cut off, and at the audit key for
records that its holder made up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from datalab.flow.chain import START, Head, authentic, record_hash
from datalab.flow.trail import CLOSES, Kind, Stored, actor_from, links_from
from datalab.flow.trail_ports import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A signed statement, kept outside the database, of where chains ended. file: which file it is the `number`th of."""

    file: str
    number: int
    at_us: int
    heads: Mapping[str, Head]
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """code: `verify.slug`. chain, first, last: the records concerned, where they are known."""

    code: str
    sentence: str
    chain: str | None = None
    first: int | None = None
    last: int | None = None


@dataclass(slots=True, kw_only=True)
class Report:
    """What was examined and found. covered_until_us: time of the newest checkpoint; a tail cut after it goes unnoticed."""

    findings: list[Finding] = field(default_factory=list)
    chains: int = 0
    records: int = 0
    checkpoints: int = 0
    covered_until_us: int | None = None
    keyed: bool = True

    @property
    def intact(self) -> bool:
        return not self.findings


def verify(
    snapshot: Snapshot,
    key: bytes | None,
    checkpoints: Sequence[Checkpoint],
    *,
    complete: Sequence[Checkpoint] | None = None,
) -> Report:
    """Examines the whole trail against the checkpoints, which must have been read before the snapshot was taken.

    key: the audit key; None: hashes are followed, but whether the key's holder wrote the records stays open. complete: the
    gateway's own checkpoints, read again after the snapshot was taken: each one that the trail mentions must be there;
    None: `checkpoints` may be an older copy, which lacks the latest.
    """
    examination = _Examination(key, checkpoints, complete)
    states = {state.chain: state for state in snapshot.chains()}
    for chain in [*states, *snapshot.stray_chains()]:
        examination.walk(chain, snapshot.records(chain))
    for state in states.values():
        examination.compare_head(state.chain, state.head, ended=state.ended)
    for chain in sorted(set(examination.ends) - set(states)):
        examination.find("unlisted", f"Chain {chain} has records, but the list of chains lacks it.", chain)
    examination.compare_checkpoints()
    examination.compare_lost()
    if examination.report.intact:
        examination.pair()
    return examination.report


@dataclass(slots=True)
class _Walk:
    """Where a walk along one chain stands. disturbed: the record before was already found to be wrong."""

    seq: int = 0
    hash: str = START
    last_kind: str = ""
    disturbed: bool = False


class _Examination:
    def __init__(
        self, key: bytes | None, checkpoints: Sequence[Checkpoint], complete: Sequence[Checkpoint] | None
    ) -> None:
        self.report = Report(checkpoints=len(checkpoints), keyed=key is not None)
        self.report.covered_until_us = max((one.at_us for one in checkpoints), default=None)
        self.ends: dict[str, _Walk] = {}
        self._key = key
        self._pinned: dict[str, dict[int, list[tuple[str, Checkpoint]]]] = {}
        for checkpoint in checkpoints:
            for chain, head in checkpoint.heads.items():
                self._pinned.setdefault(chain, {}).setdefault(head.seq, []).append((head.hash, checkpoint))
        self._complete = complete is not None
        self._known = {(one.file, one.number): one for one in (checkpoints if complete is None else complete)}
        self._lost: dict[str, Head] = {}
        self._opened: dict[str, tuple[str, int]] = {}
        self._closed: dict[str, tuple[str, int]] = {}
        self._unpaired: list[Finding] = []
        self._missing_literals: dict[str, tuple[str, int]] = {}
        self._erased: set[str] = set()

    def find(
        self, slug: str, sentence: str, chain: str | None = None, first: int | None = None, last: int | None = None
    ) -> None:
        self.report.findings.append(
            Finding(
                code=f"verify.{slug}", sentence=sentence, chain=chain, first=first, last=first if last is None else last
            )
        )

    def walk(self, chain: str, records: Iterable[Stored]) -> None:
        walk = self.ends[chain] = _Walk()
        pinned = self._pinned.get(chain, {})
        self.report.chains += 1
        for stored in records:
            self.report.records += 1
            seq = stored.sealed.seq
            if seq > walk.seq + 1:
                self._gap(chain, walk.seq + 1, seq - 1)
                walk.disturbed = True
            sound = self._sound(chain, stored)
            if sound and not walk.disturbed and stored.sealed.previous != walk.hash:
                self.find("unlinked", f"Record {seq} of chain {chain} does not follow record {walk.seq}.", chain, seq)
                sound = False
            for hash_, checkpoint in pinned.pop(seq, ()):
                if sound and hash_ != stored.sealed.hash:
                    self.find(
                        "rewritten",
                        f"Record {seq} of chain {chain} is not the one that {_named(checkpoint)} saw.",
                        chain,
                        seq,
                    )
            walk.seq, walk.hash, walk.disturbed, walk.last_kind = seq, stored.sealed.hash, not sound, stored.kind

    def _gap(self, chain: str, first: int, last: int) -> None:
        which = (
            f"Record {first} of chain {chain} is"
            if first == last
            else f"Records {first} to {last} of chain {chain} are"
        )
        self.find("removed", f"{which} missing.", chain, first, last)

    def _sound(self, chain: str, stored: Stored) -> bool:
        """Whether the record is as it was written, in its own place."""
        sealed = stored.sealed
        at = f"Record {sealed.seq} of chain {chain}"
        try:
            hash_ = record_hash(sealed.previous, sealed.body.encode())
        except ValueError:
            hash_ = ""
        if hash_ != sealed.hash:
            self.find("altered", f"{at} was altered: its hash does not fit its content.", chain, sealed.seq)
            return False
        if self._key is not None and not authentic(self._key, sealed.hash, sealed.mac):
            self.find("forged", f"{at} was not written by a holder of the audit key.", chain, sealed.seq)
            return False
        try:
            return self._fits(stored, orjson.loads(sealed.body), at)
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            AssertionError,
        ):  # only without the key does one get here
            self.find("forged", f"{at} is no record that the gateway writes.", chain, sealed.seq)
            return False

    def _fits(self, stored: Stored, body: Mapping[str, object], at: str) -> bool:
        """Whether the record stands where it was written; and what lies beside it agrees."""
        chain, seq = stored.sealed.chain, stored.sealed.seq
        if (body["chain"], body["seq"]) != (chain, seq):
            origin = f"record {body['seq']} of chain {body['chain']}"
            self.find("moved", f"{at} was moved: it was written as {origin}.", chain, seq)
            return False
        if not self._columns_agree(stored, body):
            sentence = f"{at} is intact, but what is kept beside it for looking it up was altered."
            self.find("index", sentence, chain, seq)
        self._note(stored, body)
        return True

    @staticmethod
    def _columns_agree(stored: Stored, body: Mapping[str, object]) -> bool:
        beside = (stored.at_us, stored.kind, stored.ref, stored.participant, stored.links)
        actor = actor_from(body["actor"])
        return beside == (body["at_us"], body["kind"], body["ref"], actor.participant, frozenset(links_from(body)))

    def _note(self, stored: Stored, body: Mapping[str, object]) -> None:
        """Remembers what has to fit with records elsewhere."""
        place = (stored.sealed.chain, stored.sealed.seq)
        if "literals" in body:
            if stored.literals is None:
                self._missing_literals[stored.ref] = place
            elif not stored.literals.fit(body["literals"]):
                self.find(
                    "literals", f"The SQL text, parameters or detail of operation {stored.ref} were altered.", *place
                )
        if stored.kind == Kind.LITERALS_ERASED:
            self._erased.add(stored.ref)
        elif stored.kind == Kind.CHAIN_LOST:
            lost = body["lost"]
            assert isinstance(lost, dict)
            self._lost[lost["chain"]] = Head(lost["seq"], lost["hash"])
        elif stored.kind == Kind.CHECKPOINT:
            self._compare_announced(body, *place)
        elif stored.kind in CLOSES:
            self._match(stored.ref, place, self._opened, self._closed)
        elif stored.kind in CLOSES.values():
            self._match(stored.ref, place, self._closed, self._opened)

    def _match(
        self, ref: str, place: tuple[str, int], own: dict[str, tuple[str, int]], other: dict[str, tuple[str, int]]
    ) -> None:
        """Records come chain by chain, so an operation's closing may be met before its opening."""
        if other.pop(ref, None) is None:
            if ref in own:
                sentence = f"Operation {ref} was opened or closed twice."
                self._unpaired.append(
                    Finding(code="verify.unpaired", sentence=sentence, chain=place[0], first=place[1], last=place[1])
                )
            own[ref] = place

    def _compare_announced(self, body: Mapping[str, object], chain: str, seq: int) -> None:
        """The trail itself remembers each checkpoint, so that a shortened or replaced file shows."""
        detail = body["detail"]
        assert isinstance(detail, dict)
        file, number = detail["file"], detail["number"]
        known = self._known.get((file, number))
        if known is None and self._complete:
            self.find("checkpoint_removed", f"Checkpoint {number} of file {file} is missing.", chain, seq)
        elif known is not None and known.sha256 != detail["sha256"]:
            sentence = f"Checkpoint {number} of file {file} is not the one written then."
            self.find("checkpoint_replaced", sentence, chain, seq)

    def compare_head(self, chain: str, head: Head, *, ended: bool) -> None:
        end = self.ends[chain]
        if end.seq < head.seq:
            self._gap(chain, end.seq + 1, head.seq)
        elif not end.disturbed and (end.seq, end.hash) != (head.seq, head.hash):
            self.find(
                "head",
                f"Chain {chain} ends at record {end.seq}, but the list of chains says otherwise.",
                chain,
                end.seq,
            )
        if ended and end.last_kind != Kind.CHAIN_CLOSED and chain not in self._lost:
            sentence = f"Chain {chain} counts as ended, but its last record {end.seq} does not end it."
            self.find("unended", sentence, chain, end.seq)

    def compare_checkpoints(self) -> None:
        """What is still pinned was not met on the walk."""
        found = {(one.chain, one.last) for one in self.report.findings if one.code == "verify.removed"}
        for chain, pinned in self._pinned.items():
            if not pinned:
                continue
            last = max(pinned)
            end = self.ends.get(chain)
            checkpoint = pinned[last][0][1]
            if end is None or end.seq == 0:
                self.find(
                    "chain_removed",
                    f"Chain {chain} is missing; {_named(checkpoint)} saw {last} records.",
                    chain,
                    1,
                    last,
                )
            elif last > end.seq and (chain, last) not in found:
                self._gap(chain, end.seq + 1, last)

    def compare_lost(self) -> None:
        """Where another process found a chain to end."""
        reported = {one.chain for one in self.report.findings}
        for chain, head in self._lost.items():
            end = self.ends.get(chain)
            if chain in reported:
                continue
            if end is None:
                self.find("chain_removed", f"Chain {chain} is missing; it had {head.seq} records.", chain, 1, head.seq)
            elif end.seq < head.seq:
                self._gap(chain, end.seq + 1, head.seq)
            elif (end.seq, end.hash) != (head.seq, head.hash):
                self.find(
                    "rewritten", f"Chain {chain} does not end as it did when its process was lost.", chain, end.seq
                )

    def pair(self) -> None:
        """What only a trail without gaps can be asked: is everything closed, and everything erased on record?"""
        self.report.findings.extend(self._unpaired)
        for ref, (chain, seq) in self._opened.items():
            end = self.ends[chain]
            if end.last_kind == Kind.CHAIN_CLOSED or chain in self._lost:
                self.find("unpaired", f"Operation {ref} was never closed, though its chain ended.", chain, seq)
        for ref, (chain, seq) in self._closed.items():
            self.find("unpaired", f"Operation {ref} was closed twice or never opened.", chain, seq)
        for ref, (chain, seq) in self._missing_literals.items():
            if ref not in self._erased:
                sentence = f"The SQL text, parameters or detail of operation {ref} were removed without a record of it."
                self.find("literals", sentence, chain, seq)


def _named(checkpoint: Checkpoint) -> str:
    return f"checkpoint {checkpoint.number} of file {checkpoint.file}"
