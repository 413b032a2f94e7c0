"""YAML as we read it: JSON's values, written comfortably, every one with its line.

Owns the reading of YAML text into plain values and the place of each value. Booleans, null and numbers are those of the
YAML 1.2 core schema (https://yaml.org/spec/1.2.2/#103-core-schema), so that `NO` is Norway and `2024-01-31` is text. Must
never build an object of any other class, expand aliases without bound, or keep the first of two equal keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import yaml

from catalog.errors import Mark, YamlRefused

Path = tuple[str | int, ...]

MAX_BYTES = 1 << 20
MAX_DEPTH = 40
MAX_NODES = 50_000
"""Values of one text, each alias counted as often as it is used."""


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """One document of a stream: its value, and where each value and key stands."""

    value: object
    values: Mapping[Path, Mark]
    keys: Mapping[Path, Mark]
    blocks: Mapping[Path, Mark]

    def mark(self, path: Path) -> Mark:
        """The place of the value at `path`, or of the closest thing around it that exists."""
        for length in range(len(path), -1, -1):
            found = self.values.get(path[:length])
            if found is not None:
                return found
        raise AssertionError("every document has a root")

    def key_mark(self, path: Path) -> Mark:
        """The place of the key that leads to `path`; of the value where there is no key."""
        return self.keys.get(path) or self.mark(path)

    def text_mark(self, path: Path, line: int, column: int = 1) -> Mark:
        """The place of a line (from 1) and column inside the text at `path`, e.g. of a condition's syntax error.

        Exact for block texts (`|`); other texts may fold lines, so that their first line is all we can say.
        """
        block = self.blocks.get(path)
        if block is None:
            return self.mark(path)
        return Mark(block.file, block.line + line - 1, block.column + column - 1)


def load(text: str | bytes, *, file: str) -> tuple[YamlDocument, ...]:
    """The documents of a YAML stream, empty ones left out.

    file: what marks call the text. Raises YamlRefused: not UTF-8, not YAML, a tag, a duplicate key, a key that is no
    text, a number that JSON lacks, or more than 1 MiB, 40 levels or 50,000 values.
    """
    decoded = _decode(text, file)
    reader = _Reader(file, decoded)
    try:
        found = [reader.document(root) for root in _roots(_Loader(decoded))]
    except yaml.MarkedYAMLError as error:
        raise YamlRefused(_place(file, error.problem_mark or error.context_mark), _sentence(error)) from None
    except yaml.reader.ReaderError as error:
        line = decoded.count("\n", 0, error.position) + 1
        raise YamlRefused(Mark(file, line, 1), "The text contains a character that YAML does not allow.") from None
    return tuple(document for document in found if document.value is not None)


def _decode(text: str | bytes, file: str) -> str:
    start = Mark(file, 1, 1)
    if len(text if isinstance(text, bytes) else text.encode(errors="replace")) > MAX_BYTES:
        raise YamlRefused(start, f"The text is longer than {MAX_BYTES} bytes.")
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise YamlRefused(Mark(file, line, 1), "The text is not UTF-8.") from None


def _roots(loader: _Loader) -> Iterator[yaml.Node]:
    while loader.check_node():
        node = loader.get_node()
        if node is not None:
            yield node


def _place(file: str, mark: Any) -> Mark:
    return Mark(file, 1, 1) if mark is None else Mark(file, mark.line + 1, mark.column + 1)


def _sentence(error: yaml.MarkedYAMLError) -> str:
    what = (error.problem or error.context or "it does not parse").strip()
    return f"This is not valid YAML: {what}."


class _Loader(yaml.SafeLoader):
    """PyYAML's reader with a bound on nesting and the core schema's scalars."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's protocol
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave the parser untyped
            raise yaml.MarkedYAMLError(problem=f"more than {MAX_DEPTH} levels", problem_mark=event.start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


_TAG = "tag:yaml.org,2002:"
_CORE = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    "unfit": (r"[-+]?(\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN", "-+."),
}
_PATTERNS = {name: re.compile(rf"^(?:{pattern})\Z") for name, (pattern, _first) in _CORE.items()}
for _name, (_, _first_characters) in _CORE.items():
    _Loader.add_implicit_resolver(_TAG + _name, _PATTERNS[_name], list(_first_characters))


class _Reader:
    """Makes values of one stream's nodes and remembers where they stood."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._lines = text.splitlines()
        self._left = MAX_NODES
        self._values: dict[Path, Mark] = {}
        self._keys: dict[Path, Mark] = {}
        self._blocks: dict[Path, Mark] = {}
        self._open: set[int] = set()

    def document(self, root: yaml.Node) -> YamlDocument:
        self._values, self._keys, self._blocks = {}, {}, {}
        value = self._value(root, ())
        return YamlDocument(
            value, MappingProxyType(self._values), MappingProxyType(self._keys), MappingProxyType(self._blocks)
        )

    def _refuse(self, node: yaml.Node, sentence: str) -> YamlRefused:
        return YamlRefused(_place(self._file, node.start_mark), sentence)

    def _value(self, node: yaml.Node, path: Path) -> object:
        self._left -= 1
        if self._left < 0:
            raise self._refuse(node, f"The text holds more than {MAX_NODES} values, aliases counted at each use.")
        if id(node) in self._open:
            raise self._refuse(node, "An alias contains itself.")
        self._values[path] = _place(self._file, node.start_mark)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
                return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        finally:
            self._open.discard(id(node))
        raise self._refuse(node, "Tags such as `!!set` are not read.")

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        made: dict[str, object] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != _TAG + "str":
                raise self._refuse(key_node, "A key must be text: put it in quotes.")
            key = str(key_node.value)
            if key == "<<" and key_node.style is None:
                raise self._refuse(key_node, "Merge keys (`<<`) are not read: write the fields out.")
            if key in made:
                raise self._refuse(key_node, f"The key `{key}` stands here twice.")
            self._keys[(*path, key)] = _place(self._file, key_node.start_mark)
            made[key] = self._value(value_node, (*path, key))
        return made

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> object:
        text = str(node.value)
        kind = node.tag.removeprefix(_TAG)
        if kind in _PATTERNS and not _PATTERNS[kind].match(text):
            kind = node.tag  # `!!int x` says so, but is not
        match kind:
            case "str":
                if node.style == "|":
                    self._blocks[path] = self._block(node)
                return text
            case "bool":
                return text.lower() == "true"
            case "null":
                return None
            case "int":
                if len(text) > 40:
                    raise self._refuse(node, "This number is too long: put it in quotes.")
                return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
            case "float":
                number = float(text)
                if number in {float("inf"), float("-inf")}:
                    raise self._refuse(node, "This number is too large: put it in quotes.")
                return number
            case "unfit":
                raise self._refuse(node, "Infinite and undefined numbers are not read.")
        raise self._refuse(node, "Tags such as `!!binary` are not read.")

    def _block(self, node: yaml.ScalarNode) -> Mark:
        """Where the first line of a block text (`|`) begins: the line after its mark, at its own indent."""
        line = node.start_mark.line + 1
        shown = self._lines[line] if line < len(self._lines) else ""
        return Mark(self._file, line + 1, len(shown) - len(shown.lstrip(" ")) + 1)
