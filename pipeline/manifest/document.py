"""YAML bytes to plain JSON-like data, strictly, with a line for every path.

Reads parser events one by one and never more than it needs: nothing is built from tags, no alias
is followed, and depth is cut before it costs anything. Everything that can be told apart goes on
being read after a problem, so that one call names all problems of a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from pipeline.errors import InvalidInput, Problem
from pipeline.manifest.paths import Place, dotted, shorten, shown
from pipeline.manifest.scalars import Refused, resolve

# A complete manifest nests seven mappings and lists.
LIMIT_DEPTH = 16

# libyaml's parser where PyYAML was built with it (ten times faster), else its own. Both are tested.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Control characters, and the invisible ones that make a text read otherwise than it is:
# direction overrides, joiners without glyph, byte-order marks, line breaks that editors ignore.
_HIDDEN = (
    r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f"
    r"\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff\ud800-\udfff\U000e0000-\U000e007f"
)
_FORBIDDEN_IN_FILE = re.compile(f"[{_HIDDEN}]")
_FORBIDDEN_IN_TEXT = re.compile(f"[{_HIDDEN}\r\x09]")


@dataclass
class Document:
    """What a file says.

    `root` is the top-level mapping. `lines` has the 1-based line of every path in it. `spoiled`
    are the paths whose value was refused: `root` has None there, and what a type check says about
    them is noise. `problems` is everything refused so far.
    """

    file: str
    root: dict[str, Any]
    lines: dict[Place, int]
    spoiled: set[Place]
    problems: list[Problem]


def parse(
    file: str,
    data: bytes,
    *,
    expected: str = "a mapping with apiVersion, kind, metadata and spec",
    remedy: str = "Start from examples/valid/model-manifest.yaml.",
) -> Document:
    """The one document in `data`; `file` is its name in messages.

    `expected` and `remedy` are the words for a file that holds something else. Raises InvalidInput
    when nothing sensible can be said about the rest: no UTF-8, broken YAML, nested too deeply, no
    mapping at the top.
    """
    reader = _Reader(file, _decoded(file, data))
    try:
        root = reader.read(expected, remedy)
    except yaml.YAMLError as error:
        raise InvalidInput([*reader.problems, _syntax(file, error)]) from None
    except (ValueError, OverflowError):
        # PyYAML's own parser lets these escape for `\Uffffffff`.
        raise InvalidInput([*reader.problems, _syntax(file, None)]) from None
    return Document(file, root, reader.lines, reader.spoiled, reader.problems)


def _decoded(file: str, data: bytes) -> str:
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise _alone(file, 1, "marked with a byte-order mark", "plain UTF-8", "Save it without.")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        value = f"not UTF-8 (byte 0x{data[error.start]:02x})"
        raise _alone(file, line, value, "UTF-8 text", "Save the file as UTF-8.") from None
    found = _FORBIDDEN_IN_FILE.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        raise _alone(
            file,
            line,
            f"holding the character U+{ord(found[0]):04X}",
            "no control or invisible characters",
            "Delete the character.",
        )
    return text


def _alone(file: str, line: int | None, value: str, expected: str, remedy: str) -> InvalidInput:
    return InvalidInput([Problem(file, "", value, expected, remedy, line)])


def _syntax(file: str, error: yaml.YAMLError | None) -> Problem:
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or "an escape that no character has"
    return Problem(
        file=file,
        path="",
        value=f"not YAML here ({shorten(str(said), 100)})",
        expected="valid YAML",
        remedy="Check indentation (spaces, no tabs), quotes, colons and brackets near this line.",
        line=None if mark is None else mark.line + 1,
    )


@dataclass
class _Reader:
    file: str
    text: str
    lines: dict[Place, int] = field(default_factory=dict)
    spoiled: set[Place] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    aliases: set[str] = field(default_factory=set)

    def read(self, expected: str, remedy: str) -> dict[str, Any]:
        events: Iterator[Any] = iter(yaml.parse(self.text, Loader=LOADER))
        next(events)  # the start of the stream
        start = next(events)
        root: Any = None
        if isinstance(start, yaml.DocumentStartEvent):
            if start.version or start.tags:
                self._refuse(
                    (), start, "introduced by a directive", "no % directives",
                    "Delete the lines that start with %.",
                )  # fmt: skip
            first = next(events)
            if not isinstance(first, yaml.ScalarEvent) or first.value:
                root = self._node(first, events, (), 1)
            next(events)  # the end of the document
            following = next(events)
            if isinstance(following, yaml.DocumentStartEvent):
                self._refuse(
                    (), following, "followed by another document", "one document",
                    "Keep one model to a file; delete everything from this --- on.",
                )  # fmt: skip
        if isinstance(root, dict):
            return root
        value = "empty" if root is None else shown(root)
        if not self.problems:
            raise _alone(self.file, self.lines.get(()), value, expected, remedy)
        raise InvalidInput(self.problems)

    def _node(self, event: Any, events: Iterator[Any], path: Place, depth: int) -> Any:
        """The value that starts at `event`; None where it is refused."""
        self.lines.setdefault(path, event.start_mark.line + 1)
        if isinstance(event, yaml.AliasEvent):
            # A bomb uses each of its aliases many times; once says it.
            self.spoiled.add(path)
            if event.anchor in self.aliases:
                return None
            self.aliases.add(str(event.anchor))
            return self._spoil(
                path, event, f"the alias *{shorten(str(event.anchor))}", "no aliases",
                "Write the value out where it is needed.",
            )  # fmt: skip
        if event.anchor is not None:
            self._refuse(
                path, event, f"marked with the anchor &{shorten(event.anchor)}", "no anchors",
                "Delete the anchor, and write the value out where it is needed.",
            )  # fmt: skip
        if event.tag is not None:
            self._refuse(
                path, event, f"marked with the tag {shorten(event.tag)}", "no tags",
                "Delete the tag; quotes make a text, and plain numbers are numbers.",
            )  # fmt: skip
            self.spoiled.add(path)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if depth > LIMIT_DEPTH:
            raise self._too_deep(path, event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(events, path, depth)
        return self._mapping(events, path, depth)

    def _list(self, events: Iterator[Any], path: Place, depth: int) -> list[Any]:
        items: list[Any] = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self._node(event, events, (*path, len(items)), depth + 1))
        return items

    def _mapping(self, events: Iterator[Any], path: Place, depth: int) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._key(event, events, path)
            value_event = next(events)
            if key is None:
                self._skip(value_event, events, path)
                continue
            place = (*path, key)
            if key in entries:
                self._refuse(
                    place, event, f"given again (first on line {self.lines[place]})",
                    "each key once", "Delete one of the two.",
                )  # fmt: skip
            self.lines.setdefault(place, event.start_mark.line + 1)
            value = self._node(value_event, events, place, depth + 1)
            entries.setdefault(key, value)
        return entries

    def _key(self, event: Any, events: Iterator[Any], path: Place) -> str | None:
        if isinstance(event, yaml.ScalarEvent):
            if event.tag is None and event.anchor is None:
                plain = event.implicit[0]
                if plain and event.value == "<<":
                    self._refuse(
                        path, event, "extended by a merge key <<", "no merge keys",
                        "Write the keys out.",
                    )  # fmt: skip
                    return None
                if not plain or _is_text(event.value):
                    return event.value if self._clean(event.value, path, event) else None
            written = shorten(event.value) or "empty"
        else:
            written = "an alias" if isinstance(event, yaml.AliasEvent) else "a list or mapping"
        self._skip(event, events, path)
        self._refuse(
            path, event, f"holding a key that is no text ({written})", "keys that are plain words",
            "Put the key in quotes if it is meant as text.",
        )  # fmt: skip
        return None

    def _skip(self, event: Any, events: Iterator[Any], path: Place) -> None:
        """Drop the rest of a key or value that starts at `event`."""
        depth = 0
        while True:
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > LIMIT_DEPTH:
                    raise self._too_deep(path, event)
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if not depth:
                return
            event = next(events)

    def _too_deep(self, path: Place, event: Any) -> InvalidInput:
        # The end of reading: the time that parsers take for brackets grows with their depth.
        self._refuse(
            path, event, "nested too deeply", f"at most {LIMIT_DEPTH} levels",
            "No field of a manifest lies this deep; flatten it.",
        )  # fmt: skip
        return InvalidInput(self.problems)

    def _scalar(self, event: yaml.ScalarEvent, path: Place) -> Any:
        if path in self.spoiled:
            return None
        if not self._clean(event.value, path, event):
            self.spoiled.add(path)
            return None
        if not event.implicit[0]:
            return event.value
        try:
            return resolve(event.value)
        except Refused as refused:
            value = shorten(event.value) or "empty"
            return self._spoil(path, event, value, refused.expected, refused.remedy)

    def _clean(self, text: str, path: Place, event: Any) -> bool:
        found = _FORBIDDEN_IN_TEXT.search(text)
        if found:
            self._refuse(
                path, event, f"holding the character U+{ord(found[0]):04X}",
                "no control or invisible characters", "Delete the character.",
            )  # fmt: skip
        return not found

    def _spoil(self, path: Place, event: Any, value: str, expected: str, remedy: str) -> None:
        self._refuse(path, event, value, expected, remedy)
        self.spoiled.add(path)

    def _refuse(self, path: Place, event: Any, value: str, expected: str, remedy: str) -> None:
        line = event.start_mark.line + 1
        self.problems.append(Problem(self.file, dotted(path), value, expected, remedy, line))


def _is_text(plain: str) -> bool:
    try:
        return isinstance(resolve(plain), str)
    except Refused:
        return False
