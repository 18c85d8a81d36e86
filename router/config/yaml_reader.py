"""YAML text to a document: plain values that remember where they stood.

Differs from ``yaml.safe_load`` on purpose: duplicate keys, foreign tags, recursion and documents that expand beyond
their bounds are problems; dates and base-60 numbers stay text, as every other configuration reader sees them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from router.config.document import Document, Mark
from router.config.problems import KeyPath, Problem, render_path

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_NODES = 50_000

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = {f"{_TAG}str", f"{_TAG}timestamp", f"{_TAG}value"}
_NUMBER_TAGS = {f"{_TAG}int", f"{_TAG}float"}
_MERGE_TAG = f"{_TAG}merge"
# What YAML forbids in a stream, besides the surrogates that UTF-8 decoding has already refused.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ufffe\uffff]")


class YamlError(Exception):
    """The text is no usable YAML; ``problem`` says why and where."""

    def __init__(self, message: str, *, suggestion: str | None = None, mark: Mark | None = None) -> None:
        super().__init__(message)
        self.problem = Problem(
            "error", "", message, suggestion, mark.line if mark else None, mark.column if mark else None
        )


def parse_document(raw: bytes) -> tuple[Document, list[Problem]]:
    """Read a file's bytes. Problems that leave a document to go on with are returned; others raise ``YamlError``."""
    text = _decode(raw)
    try:
        _check_bounds(text)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as exc:
        raise _syntax_error(exc, text) from exc
    except yaml.YAMLError as exc:
        raise YamlError("This is not valid YAML.", suggestion="Check the file's characters and quotes.") from exc
    if node is None or (isinstance(node, yaml.ScalarNode) and not node.value):
        raise YamlError("The file is empty.", suggestion="Start with `version: v0.4.0` and a list of `listeners`.")
    if not isinstance(node, yaml.MappingNode):
        raise YamlError(
            "The file is not a mapping of keys to values.",
            suggestion="Start with `version: v0.4.0` and a list of `listeners`.",
            mark=_mark(node),
        )
    reader = _Reader()
    data = reader.mapping(node, ())
    reader.document.data = data
    return reader.document, reader.problems


def _decode(raw: bytes) -> str:
    if len(raw) > MAX_BYTES:
        raise YamlError(f"The file is larger than {MAX_BYTES // 1024} KiB.", suggestion="Is this the right file?")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        mark = _mark_at(raw[: exc.start].decode("utf-8", "replace"))
        raise YamlError("The file is not UTF-8 text.", suggestion="Save it as UTF-8.", mark=mark) from exc
    if found := _UNPRINTABLE.search(text):
        raise YamlError(
            f"The character U+{ord(found.group()):04X} is not allowed in YAML.",
            suggestion="Remove it, or write it as an escape in a double-quoted string.",
            mark=_mark_at(text[: found.start()]),
        )
    return text


def _check_bounds(text: str) -> None:
    # Before composing, because composing recurses: a few kilobytes of brackets would exhaust the stack.
    depth = documents = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        if depth > MAX_DEPTH:
            raise YamlError(f"Values are nested more than {MAX_DEPTH} levels deep.", mark=_mark(event))
        if count > 2 * MAX_NODES:
            raise YamlError(f"The file holds more than {MAX_NODES} values.", mark=_mark(event))
        if documents > 1:
            raise YamlError(
                "The file holds more than one YAML document.", suggestion="Remove the `---`.", mark=_mark(event)
            )


class _Reader:
    """Turns composed nodes into plain values, noting positions."""

    def __init__(self) -> None:
        self.document = Document({})
        self.problems: list[Problem] = []
        self._open: set[int] = set()
        self._count = 0
        scalars: Any = yaml.constructor.SafeConstructor()
        self._constructors: dict[str, Callable[[yaml.Node], Any]] = {
            f"{_TAG}null": scalars.construct_yaml_null,
            f"{_TAG}bool": scalars.construct_yaml_bool,
            f"{_TAG}int": scalars.construct_yaml_int,
            f"{_TAG}float": scalars.construct_yaml_float,
        }

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self._enter(node, path)
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            self._check_tag(node, path, f"{_TAG}seq")
            return [self._nested(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        """A mapping; a key that stands twice is a problem, and its first value wins."""
        self.document.values.setdefault(path, _mark(node))
        self._check_tag(node, path, f"{_TAG}map")
        self._open.add(id(node))
        result: dict[str, Any] = {}
        for key_node, value_node in _own_pairs(node):
            key = self._key(key_node, path)
            if key is None:
                continue
            place = (*path, key)
            if key in result:
                first = self.document.keys[place]
                mark = _mark(key_node)
                message = f"The key `{key}` stands here a second time; the first is in line {first.line}."
                hint = "Keep one of them."
                self.problems.append(Problem("error", render_path(place), message, hint, mark.line, mark.column))
                continue
            self.document.keys[place] = _mark(key_node)
            result[key] = self._nested(value_node, place)
        for merged in self._merged(node, path):
            for key_node, value_node in _own_pairs(merged):
                key = self._key(key_node, path)
                if key is not None and key not in result:
                    place = (*path, key)
                    self.document.keys[place] = _mark(key_node)
                    result[key] = self._nested(value_node, place)
        self._open.discard(id(node))
        return result

    def _nested(self, node: yaml.Node, path: KeyPath) -> Any:
        if id(node) in self._open:
            raise YamlError("This alias contains itself.", mark=_mark(node))
        self._open.add(id(node))
        try:
            return self.value(node, path)
        finally:
            self._open.discard(id(node))

    def _enter(self, node: yaml.Node, path: KeyPath) -> None:
        self.document.values[path] = _mark(node)
        self._count_up(node, len(path))

    def _count_up(self, node: yaml.Node, depth: int) -> None:
        self._count += 1
        if self._count > MAX_NODES or depth > MAX_DEPTH:
            raise YamlError(
                f"With its aliases written out, the file holds more than {MAX_NODES} values or {MAX_DEPTH} levels.",
                suggestion="Use fewer anchors and aliases.",
                mark=_mark(node),
            )

    def _merged(self, node: yaml.MappingNode, path: KeyPath, depth: int = 0) -> Iterator[yaml.MappingNode]:
        # `<<: *defaults` or `<<: [*a, *b]`: keys of the mapping itself win, then earlier ones.
        self._count_up(node, depth)
        for key_node, value_node in node.value:
            if key_node.tag != _MERGE_TAG:
                continue
            sources = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
            for source in sources:
                if not isinstance(source, yaml.MappingNode):
                    self._add(source, path, "`<<` needs a mapping to merge.", "Refer to one, as in `<<: *defaults`.")
                elif id(source) in self._open:
                    raise YamlError("This alias contains itself.", mark=_mark(source))
                else:
                    yield source
                    yield from self._merged(source, path, depth + 1)

    def _key(self, node: yaml.Node, path: KeyPath) -> str | None:
        if isinstance(node, yaml.ScalarNode):
            # The text as written: `on:` and `4:` are names here, not a truth value or a number.
            return str(node.value)
        self._add(node, path, "A list or mapping cannot be a key.", "Put it in quotes if it is text.")
        return None

    def _scalar(self, node: yaml.Node, path: KeyPath) -> Any:
        self.document.spelling[path] = text = str(node.value)
        tag = str(node.tag)
        # YAML 1.1 reads 1:30 as 90; nobody who writes a host and port or a time means that.
        if tag in _TEXT_TAGS or (":" in text and tag in _NUMBER_TAGS):
            return text
        construct = self._constructors.get(tag)
        if construct is None:
            self._add(node, path, f"The tag `{tag}` is not allowed.", "Write a plain value.")
            return text
        try:
            return construct(node)
        except (ValueError, KeyError, OverflowError, IndexError):
            self._add(node, path, f"{self.document.show(path)} cannot be read as its tag says.", "Put it in quotes.")
            return text

    def _check_tag(self, node: yaml.Node, path: KeyPath, expected: str) -> None:
        if node.tag != expected:
            self._add(node, path, f"The tag `{node.tag}` is not allowed.", "Write a plain value.")

    def _add(self, node: yaml.Node, path: KeyPath, message: str, suggestion: str) -> None:
        mark = _mark(node)
        self.problems.append(Problem("error", render_path(path), message, suggestion, mark.line, mark.column))


def _own_pairs(node: yaml.MappingNode) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    return ((key, value) for key, value in node.value if key.tag != _MERGE_TAG)


def _mark(marked: Any) -> Mark:
    return Mark(marked.start_mark.line + 1, marked.start_mark.column + 1)


def _mark_at(text_before: str) -> Mark:
    lines = text_before.split("\n")
    return Mark(len(lines), len(lines[-1]) + 1)


def _syntax_error(exc: yaml.MarkedYAMLError, text: str) -> YamlError:
    mark = exc.problem_mark or exc.context_mark
    if mark is None:
        return YamlError(f"This is not valid YAML: {exc.problem or exc.context}.")
    line = text.split("\n")[mark.line] if mark.line <= text.count("\n") else ""
    place = Mark(mark.line + 1, mark.column + 1)
    if "\t" in line[: len(line) - len(line.lstrip())] or line[mark.column : mark.column + 1] == "\t":
        return YamlError("A tab is used for indentation.", suggestion="YAML wants spaces; use two a level.", mark=place)
    if "undefined alias" in (exc.problem or ""):
        return YamlError(f"This is not valid YAML: {exc.problem}.", suggestion="Quote a text with `*`.", mark=place)
    return YamlError(
        f"This is not valid YAML: {exc.problem or exc.context}.",
        suggestion="Check the indentation, the colons and the quotes of this line and the one before.",
        mark=place,
    )
