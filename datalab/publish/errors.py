"""The publish part's refusals and failures.

    PublishError               .code "publish.slug", .sentence, .detail (JSON-able, safe to show to the provider)
    +- LocationRefused         publish.partitions ...   the paths as a whole do not make one table
    +- FilesRefused            the code that its files share, else publish.files; .detail["problems"]: one per file
    +- FilesChanged            publish.changed        a file changed while it was inspected
    +- VersionNotFound         publish.not_found      absent and not visible look the same
    +- VersionConflict         publish.*              what is asked does not fit the state of the version or dataset
    +- NotProvider             publish.forbidden      the caller sees the dataset but does not own it
    +- Busy                    publish.busy           too many inspections at once; .retry_after_s
    +- InspectionFailed        publish.time, publish.inspector

What the storage itself refuses stays a `connectors.errors.StorageError`.

Paths and column names appear in `detail`: it is for the dataset's provider alone. Must never carry a secret, or what a
library said about a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SHOWN_PROBLEMS = 100


class PublishError(Exception):
    """Base of all. code: stable `publish.slug`; sentence: plain English, what is wrong and what to do."""

    def __init__(self, code: str, sentence: str, **detail: object) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.detail: Mapping[str, object] = detail


class LocationRefused(PublishError):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class FileProblem:
    """What is wrong with one file. sentence names it by its path relative to the storage."""

    path: str
    code: str
    sentence: str


class FilesRefused(PublishError):
    """problems: at least one, in the order of paths; total: how many there were, if not all are listed."""

    def __init__(self, problems: Sequence[FileProblem], total: int | None = None) -> None:
        codes = {problem.code for problem in problems}
        count = len(problems) if total is None else total
        sentence = problems[0].sentence
        if count > 1:
            sentence += f" {count - 1} more of its files {'is' if count == 2 else 'are'} refused; see `problems`."
        listed = [
            {"path": problem.path, "code": problem.code, "problem": problem.sentence}
            for problem in problems[:SHOWN_PROBLEMS]
        ]
        super().__init__(codes.pop() if len(codes) == 1 else "publish.files", sentence, problems=listed, total=count)
        self.problems = tuple(problems)


class FilesChanged(PublishError):
    pass


class VersionNotFound(PublishError):
    def __init__(self) -> None:
        super().__init__("publish.not_found", "There is no such dataset or version, or you may not see it.")


class VersionConflict(PublishError):
    pass


class NotProvider(PublishError):
    def __init__(self) -> None:
        super().__init__("publish.forbidden", "Only the dataset's provider may do this.")


class Busy(PublishError):
    def __init__(self, retry_after_s: int) -> None:
        super().__init__(
            "publish.busy", "Too many registrations are running; try again later.", retry_after_s=retry_after_s
        )
        self.retry_after_s = retry_after_s


class InspectionFailed(PublishError):
    pass
