"""Files to entries: every document of a directory, checked by itself, with the place of all that it says.

Owns the finding of files and the look of documents in them. Must never stop at the first problem, and never read a secret
from anywhere but where the document points.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from catalog.errors import Mark, Problem, YamlRefused
from catalog.problems import problems_of
from catalog.yaml import YamlDocument, load
from datalab.app.apply.errors import Found
from datalab.app.apply.kinds import FORMS, Kind
from policies.validation import validate

SUFFIXES = frozenset({".yaml", ".yml"})
_MAX_SECRET_BYTES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One document. document: of the kind's form; for a policy the mapping that `policies` reads.

    given: the path under which it was found. is_default: it is only there to be registered where there is nothing yet.
    """

    kind: Kind
    key: str
    document: Any
    source: YamlDocument
    given: Path = Path()
    is_default: bool = False

    @property
    def mark(self) -> Mark:
        return self.source.mark(())

    def found(self, field: str, sentence: str, hint: str | None = None) -> Found:
        """A problem with a field of the form, e.g. `partners.0`."""
        steps = tuple(int(step) if step.isdigit() else step for step in field.split(".")) if field else ()
        path = FORMS[self.kind].as_written(steps)
        return Found(mark=self.source.mark(path), field=".".join(map(str, path)), sentence=sentence, hint=hint)


@dataclass(frozen=True, slots=True)
class Directory:
    """entries: in the order of registration. found: what is wrong with single documents."""

    entries: tuple[Entry, ...]
    found: tuple[Found, ...]

    def named(self) -> dict[tuple[Kind, str], Entry]:
        return {(entry.kind, entry.key): entry for entry in self.entries}


def read(paths: Iterable[Path], defaults: Iterable[Path] = ()) -> Directory:
    """The documents of files and directories (their `*.yaml` and `*.yml`, at any depth, hidden ones left out).

    defaults: more of them; what `paths` says goes before what they say.
    """
    found: list[Found] = []
    entries = _collected(paths, found)
    for key, entry in _collected(defaults, found).items():
        entries.setdefault(key, replace(entry, is_default=True))
    order = list(Kind)
    return Directory(tuple(sorted(entries.values(), key=lambda entry: order.index(entry.kind))), tuple(found))


def _collected(paths: Iterable[Path], found: list[Found]) -> dict[tuple[Kind, str], Entry]:
    entries: dict[tuple[Kind, str], Entry] = {}
    for path in paths:
        files = list(_files(path))
        if not files:
            found.append(Found(mark=Mark(str(path), 1, 1), sentence="There are no YAML files here."))
        for file in files:
            for one in _entries(file, found):
                entry = replace(one, given=path)
                known = entries.setdefault((entry.kind, entry.key), entry)
                if known is not entry:
                    sentence = f"{entry.kind} {entry.key} stands at {known.mark} already."
                    found.append(Found(mark=entry.mark, sentence=sentence))
    return entries


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if Path(name).suffix in SUFFIXES and not name.startswith("."):
                yield Path(folder, name)


def _entries(file: Path, found: list[Found]) -> Iterator[Entry]:
    try:
        documents = load(file.read_bytes(), file=str(file))
    except OSError as error:
        found.append(Found(mark=Mark(str(file), 1, 1), sentence=f"The file cannot be read: {error.strerror}."))
        return
    except YamlRefused as refused:
        found.append(Found(mark=refused.mark, sentence=refused.sentence))
        return
    for document in documents:
        entry = _entry(document, file, found)
        if entry is not None:
            yield entry


def _entry(source: YamlDocument, file: Path, found: list[Found]) -> Entry | None:
    if not isinstance(source.value, dict):
        found.append(Found(mark=source.mark(()), sentence="A document is a mapping of fields to values."))
        return None
    fields = dict(source.value)
    written = fields.pop("kind", None)
    try:
        kind = Kind(written)
    except ValueError:
        found.append(_unknown_kind(source, written))
        return None
    if kind is Kind.POLICY:
        return _policy(source, fields, found)
    before = len(found)
    form = FORMS[kind]
    for renamed, field in form.renamed.items():
        if renamed in fields:
            fields[field] = fields.pop(renamed)
    if kind is Kind.STORAGE:
        _storage_fields(source, fields, file, found)
    document = _parsed(kind, source, fields, found)
    if document is None or len(found) > before:
        return None
    return Entry(kind=kind, key=form.key(dict(document)), document=document, source=source)


def _parsed(kind: Kind, source: YamlDocument, fields: Mapping[str, Any], found: list[Found]) -> BaseModel | None:
    model = FORMS[kind].model
    assert model is not None
    try:
        document: BaseModel = model.model_validate(fields)
    except ValidationError as error:
        found.extend(_placed(kind, source, problem) for problem in problems_of(error, model))
        return None
    return document


def _placed(kind: Kind, source: YamlDocument, problem: Problem) -> Found:
    """A problem of the form where the file has it: an unknown or repeated field at its key, all others at the value."""
    path = FORMS[kind].as_written(problem.path)
    unknown = problem.sentence.startswith("There is no such field")
    mark = source.key_mark(path) if unknown else source.mark(path)
    return Found(mark=mark, field=".".join(map(str, path)), sentence=problem.sentence)


def _unknown_kind(source: YamlDocument, written: object) -> Found:
    listed = ", ".join(Kind)
    if written is None:
        return Found(mark=source.mark(()), sentence=f"A document says its `kind`: one of {listed}.")
    close = difflib.get_close_matches(str(written), list(Kind), n=1)
    hint = f"did you mean `{close[0]}`?" if close else None
    sentence = (
        f"There is no such kind of document: it is one of {listed}. (What a participant or storage is, is its `type`.)"
    )
    return Found(mark=source.mark(("kind",)), field="kind", sentence=sentence, hint=hint)


def _policy(source: YamlDocument, fields: dict[str, Any], found: list[Found]) -> Entry | None:
    problems = validate(fields)
    for problem in problems:
        path = problem.path
        exact = path == ("when",) and problem.line is not None
        mark = source.text_mark(path, problem.line or 1) if exact else source.mark(path)
        found.append(Found(mark=mark, field=".".join(map(str, path)), sentence=problem.message, hint=problem.hint))
    if problems:
        return None
    return Entry(kind=Kind.POLICY, key=str(fields["id"]), document=fields, source=source)


def _storage_fields(source: YamlDocument, fields: dict[str, Any], file: Path, found: list[Found]) -> None:
    """A root that begins with `./` lies beside the file; a credential may say where it is: {env: NAME} or {file: PATH}."""
    root = fields.get("root")
    if isinstance(root, str) and (root == "." or root.startswith("./")):
        fields["root"] = str((file.parent / root).resolve())
    credentials = fields.get("credentials")
    if not isinstance(credentials, dict):
        return
    given = dict(credentials)
    for name, value in credentials.items():
        if isinstance(value, dict):
            try:
                given[name] = _secret(value, file)
            except _NoSecretError as error:
                found.append(
                    Found(mark=source.mark(("credentials", name)), field=f"credentials.{name}", sentence=str(error))
                )
                given[name] = "unknown"
    fields["credentials"] = given


class _NoSecretError(Exception):
    pass


def _secret(pointer: Mapping[str, object], file: Path) -> str:
    match pointer:
        case {"env": str(name)} if len(pointer) == 1:
            if name not in os.environ:
                raise _NoSecretError(f"The environment has no variable {name}.")
            return os.environ[name]
        case {"file": str(path)} if len(pointer) == 1:
            try:
                content = (file.parent / path).read_bytes()[:_MAX_SECRET_BYTES]
                return content.decode().strip()
            except (OSError, ValueError):
                raise _NoSecretError("The file with the secret cannot be read.") from None
    raise _NoSecretError("A secret is text, {env: NAME} or {file: PATH}.")
