"""A process that forks journaling processes on demand, so that tests can kill them: `python -m tests.flow.audit.journaling`.

A line `URL ACKS COUNT` on standard input starts one: four threads write operations to the trail at URL (COUNT each, 0: until
killed) and append a line to the file ACKS for whatever the journal acknowledged. Its process id is answered.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from itertools import count
from threading import Thread

from datalab.db.audit import SqlAuditStore, open_audit_engine
from datalab.flow.audit import Journal
from datalab.flow.principal import Principal
from datalab.flow.request import Query
from datalab.flow.trail import Actor, Ending, Kind, Outcome, Touched
from tests.flow.audit.audited import KEY, principal

LEASE_S = 0.3
COHORT = Touched(uid="d1", space="health", name="cohort", provider="clinic", version=3, action="query")


def work(journal: Journal, caller: Principal, acks: int, thread: int, rounds: int) -> None:
    def acknowledged(what: str, ref: str) -> None:
        os.write(acks, f"{what} {ref}\n".encode())

    for number in count(thread):
        if rounds and number >= rounds + thread:
            return
        match number % 4:
            case 0:
                acknowledged("record", journal.record(Kind.TOKEN_ISSUED, Actor.of(caller), {"number": number}))
            case 1:
                with journal.administrative(caller, verb="create", resource="dataset:health/x", detail={}) as write:
                    acknowledged("opened", write.ref)
            case _:
                handle = journal.open_query(caller, Query(sql=f"SELECT {number}", params=(number,)))
                handle.decided([COHORT])
                handle.wait()
                acknowledged("opened", handle.ref)
                handle.close(Ending(outcome=Outcome.COMPLETED, rows=number))
                if number % 4 == 3:
                    journal.flush()
                    acknowledged("closed", handle.ref)


def serve(url: str, acks_path: str, rounds: int) -> None:
    acks = os.open(acks_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    store = SqlAuditStore(open_audit_engine(url, busy_timeout_s=30.0))
    with Journal(store, KEY, clock=lambda: datetime.now(UTC), lease_s=LEASE_S if not rounds else 30.0) as journal:
        arguments = (journal, principal(), acks)
        threads = [Thread(target=work, args=(*arguments, number, rounds), daemon=True) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def main() -> None:
    for line in sys.stdin:
        url, acks_path, rounds = line.split()
        child = os.fork()
        if child == 0:
            os.close(0)
            serve(url, acks_path, int(rounds))
            os._exit(0)
        print(child, flush=True)


if __name__ == "__main__":
    main()
