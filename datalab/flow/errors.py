"""The flow's refusals and failures.

    FlowError                     .code "stage.slug", .sentence, .detail (JSON-able, safe to show)
    +- Refusal                    the caller's request is answered with no; logged at info
    |  +- TokenRefused            token.*        who are you?
    |  +- PrincipalRefused        principal.*    you may not act at all
    |  +- ScopeRefused            token.scope    the token may not call this
    |  +- StatementRefused        statement.*    not one SELECT over known names
    |  +- DatasetUnknown          decision.not_found   absent and undiscoverable look the same
    |  +- DecisionRefused         decision.*     no policy permits it
    |  +- DecisionConflict        decision.*     the caller must choose (several purposes, no usable version)
    |  +- PlanConflict            plan.*         a version is broken, withdrawn or changed
    |  +- PlanRefused             plan.*         obligations cannot be met on this version
    |  +- EngineRefused           engine.*       the statement does not bind or uses what is not allowed
    |  +- ValueRefused            engine.value   a value did not fit (never says which)
    |  +- TimedOut                engine.timeout
    |  +- TooLarge                engine.memory, engine.max_rows
    |  +- Busy                    engine.busy    queue full; .retry_after_s
    |  +- QueryUnknown            audit.not_found   absent and somebody else's look the same
    +- Failure                    our fault; logged at error, the caller learns only the code
       +- EngineFailed            engine.failed
       +- StorageUnavailable      engine.storage
       +- AuditUnavailable        audit.unavailable

Must never carry engine text, cell values, paths or secrets: `sentence` and `detail` reach clients.
"""

from __future__ import annotations

from collections.abc import Mapping


class FlowError(Exception):
    """Base of all. code: stable `stage.slug`; sentence: plain English, what is wrong and what to do."""

    def __init__(self, code: str, sentence: str, **detail: object) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.detail: Mapping[str, object] = detail


class Refusal(FlowError):
    pass


class TokenRefused(Refusal):
    pass


class ScopeRefused(Refusal):
    pass


class PrincipalRefused(Refusal):
    pass


class StatementRefused(Refusal):
    pass


class DatasetUnknown(Refusal):
    pass


class DecisionRefused(Refusal):
    pass


class DecisionConflict(Refusal):
    pass


class PlanConflict(Refusal):
    pass


class PlanRefused(Refusal):
    pass


class EngineRefused(Refusal):
    pass


class ValueRefused(Refusal):
    pass


class TimedOut(Refusal):
    pass


class TooLarge(Refusal):
    pass


class Busy(Refusal):
    def __init__(self, code: str, sentence: str, *, retry_after_s: int, **detail: object) -> None:
        super().__init__(code, sentence, retry_after_s=retry_after_s, **detail)
        self.retry_after_s = retry_after_s


class QueryUnknown(Refusal):
    def __init__(self) -> None:
        super().__init__("audit.not_found", "There is no such query, or you may not know of it.")


class Failure(FlowError):
    pass


class EngineFailed(Failure):
    pass


class StorageUnavailable(Failure):
    pass


class AuditUnavailable(Failure):
    pass
