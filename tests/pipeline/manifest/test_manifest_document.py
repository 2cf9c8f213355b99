import pytest
import yaml

from pipeline.errors import InvalidInput
from pipeline.manifest import document as module
from pipeline.manifest.document import LIMIT_DEPTH, parse


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def loader(request, monkeypatch):
    """Both parsers that PyYAML may have been built with."""
    monkeypatch.setattr(module, "LOADER", getattr(yaml, request.param))


def problems(text):
    data = text if isinstance(text, bytes) else text.encode()
    try:
        return parse("m.yaml", data).problems
    except InvalidInput as refused:
        return list(refused.problems)


def only(text):
    (problem,) = problems(text)
    assert problem.expected
    assert problem.remedy
    return problem


def test_data_comes_with_a_line_for_every_path():
    document = parse("m.yaml", b"a:\n  b: [x,\n    y]\n  c: {d: 1}\n# note\ne:\n- f: true\n")
    assert document.root == {"a": {"b": ["x", "y"], "c": {"d": 1}}, "e": [{"f": True}]}
    assert document.lines == {
        (): 1,
        ("a",): 1,
        ("a", "b"): 2,
        ("a", "b", 0): 2,
        ("a", "b", 1): 3,
        ("a", "c"): 4,
        ("a", "c", "d"): 4,
        ("e",): 6,
        ("e", 0): 7,
        ("e", 0, "f"): 7,
    }
    assert not document.problems


def test_lines_of_a_file_with_windows_line_ends():
    assert parse("m.yaml", b"a: 1\r\nb:\r\n  c: 2\r\n").lines[("b", "c")] == 3


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "---\n...\n", "\n\n"])
def test_an_empty_file(text):
    assert only(text).value == "empty"


@pytest.mark.parametrize(
    ("text", "value"),
    [("[]", "an empty list"), ("- 1", "a list of 1"), ("words", '"words"'), ("7", "7")],
)
def test_something_else_than_a_mapping_at_the_top(text, value):
    assert only(text).value == value


@pytest.mark.parametrize("text", ["!!str words", "!x [a]", "&x words", "*x"])
def test_nothing_but_a_refused_value(text):
    problem = problems(text)[0]
    assert (problem.path, problem.line) == ("", 1)


@pytest.mark.parametrize(
    ("text", "line"), [("a: [1\nb: 2", 2), ("a:\n\t- b", 2), ("a: b: c", 1), ('a: "x', 1)]
)
def test_broken_yaml_is_refused_with_its_line(text, line):
    problem = only(text)
    assert problem.value.startswith("not YAML here")
    assert problem.line >= line


def test_broken_yaml_keeps_the_problems_before_it():
    duplicate, broken = problems("a: 1\na: 2\nb: [\n}")
    assert "given again" in duplicate.value
    assert "not YAML" in broken.value


def test_a_key_given_twice_names_both_lines_and_keeps_the_first():
    document = parse("m.yaml", b"a:\n  b: 1\n  'b': 2\n")
    (problem,) = document.problems
    assert (problem.path, problem.line) == ("a.b", 3)
    assert "line 2" in problem.value
    assert document.root == {"a": {"b": 1}}
    assert document.lines[("a", "b")] == 2


@pytest.mark.parametrize("text", ["a: 1\n---\nb: 2\n", "a: 1\n...\n---\n", "a: 1\n---\n&b\n"])
def test_several_documents(text):
    problem = only(text)
    assert "another document" in problem.value
    assert problem.line == text[: text.index("---")].count("\n") + 1


@pytest.mark.parametrize("text", ["%YAML 1.1\n---\na: b\n", "%TAG ! tag:x,1:\n---\na: b\n"])
def test_directives(text):
    assert "directive" in only(text).value


@pytest.mark.parametrize(
    "tag", ["!", "!x", "!!str", "!!python/object/apply:os.system", "!<tag:yaml.org,2002:int>"]
)
@pytest.mark.parametrize("node", ["b", "[b]", "{b: c}"])
def test_every_tag(tag, node):
    document = parse("m.yaml", f"a:\n  b: {tag} {node}\n".encode())
    (problem,) = document.problems
    assert (problem.path, problem.line) == ("a.b", 2)
    assert "tag" in problem.value
    assert ("a", "b") in document.spoiled


def test_an_anchor_is_refused_and_its_value_still_read():
    document = parse("m.yaml", b"a: &x {b: 1}\n")
    (problem,) = document.problems
    assert "anchor &x" in problem.value
    assert document.root == {"a": {"b": 1}}


def test_an_alias_is_refused_and_never_followed():
    document = parse("m.yaml", b"a: &x [1]\nb: [*x, *x]\n")
    assert [p.path for p in document.problems] == ["a", "b[0]"]
    assert document.root["b"] == [None, None]
    assert {("b", 0), ("b", 1)} <= document.spoiled


def test_an_alias_to_itself():
    assert [p.path for p in problems("a: &x [*x]\n")] == ["a", "a[0]"]


def test_an_alias_bomb_stays_small():
    lines = ["a: &a [x]"] + [
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]" for i in range(20)
    ]
    document = parse("m.yaml", "\n".join(lines).encode())
    assert document.root["u"] == [None] * 9


def test_a_merge_key():
    document = parse("m.yaml", b"a: {c: 1}\nb:\n  <<: {c: 1}\n  d: 2\n")
    (problem,) = document.problems
    assert (problem.path, problem.line) == ("b", 3)
    assert "merge" in problem.value
    assert document.root["b"] == {"d": 2}


@pytest.mark.parametrize(
    "key", ["1", "1.5", "true", "null", "~", "? [a]\n", "? {a: b}\n", "!x y", "&x y", ".nan", "''"]
)
def test_keys_that_are_no_plain_text(key):
    text = f"{key}: 1\nb: 2\n"
    if key == "''":
        assert not problems(text)
        return
    document = parse("m.yaml", text.encode())
    (problem,) = document.problems
    assert "key that is no text" in problem.value
    assert document.root == {"b": 2}


def test_an_alias_as_a_key():
    assert any("an alias" in p.value for p in problems("a: &x b\n*x : [c, {d: e}]\n"))


def test_keys_in_quotes_and_keys_that_look_like_booleans_elsewhere():
    document = parse("m.yaml", b'"1": a\n"true": b\nyes: c\non: d\n"<<": e\n')
    assert document.root == {"1": "a", "true": "b", "yes": "c", "on": "d", "<<": "e"}


def nested(depth, opening="[", closing="]"):
    return "a: " + opening * depth + closing * depth


def test_the_depth_limit_is_exact():
    assert not problems(nested(LIMIT_DEPTH - 1))
    problem = only(nested(LIMIT_DEPTH))
    assert "nested too deeply" in problem.value


@pytest.mark.parametrize("text", ["[" * 50_000, "- " * 900, "{a: " * 900, "? " * 900, "? [" * 900])
def test_reading_ends_where_it_gets_too_deep(text):
    duplicate, deep = problems(f"a: 1\na: 2\nb:\n  {text}")
    assert "given again" in duplicate.value
    assert "nested too deeply" in deep.value
    assert deep.line == 4


def test_depth_counts_inside_refused_keys_and_their_values():
    assert "nested too deeply" in problems(nested(3) + "\n? [" + "[" * LIMIT_DEPTH)[-1].value
    assert "nested too deeply" in problems("1: " + "[" * (LIMIT_DEPTH + 1))[-1].value
    assert len(problems("1: [[a], {b: [c]}]\nd: 1\nd: 2\n")) == 2


def test_bytes_that_are_no_utf_8_are_refused_with_their_line():
    problem = only(b"a: b\nc: \xff\n")
    assert problem.line == 2
    assert "0xff" in problem.value


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_encodings(encoding):
    assert problems("a: b\n".encode(encoding))


@pytest.mark.parametrize(
    "character", ["\0", "\x07", "\x1b", "\x7f", "\x85", "\u2028", "\u202e", "\u200b", "\ufeff"]
)
def test_hidden_characters_are_refused_as_they_are_and_escaped(character):
    problem = only(f"a: b\nc: d{character}e\n")
    assert problem.line == 2
    assert f"U+{ord(character):04X}" in problem.value
    escaped = f'a: b\nc: "d\\u{ord(character):04x}e"\n'
    document = parse("m.yaml", escaped.encode())
    assert [(p.path, p.line) for p in document.problems] == [("c", 2)]
    assert ("c",) in document.spoiled
    assert any("U+" in p.value for p in problems(f'"d\\u{ord(character):04x}e": 1\n'))


@pytest.mark.parametrize("escape", [r"\ud800", r"\U00110000", r"\Uffffffff", r"\xzz"])
def test_escapes_that_no_character_has(escape):
    assert problems(f'a: "{escape}"\n')


def test_text_of_every_script_is_kept():
    text = "naïve 数据 данные بيانات 🚀"
    assert parse("m.yaml", f"a: {text}\n".encode()).root == {"a": text}


def test_folded_and_literal_text_keeps_its_line_breaks():
    assert parse("m.yaml", b"a: |\n  b\n  c\nd: >-\n  e\n  f\n").root == {"a": "b\nc\n", "d": "e f"}


@pytest.mark.parametrize("style", ["'{}'", '"{}"', "|-\n  {}", ">-\n  {}"])
@pytest.mark.parametrize("scalar", ["1", "true", "null", ".nan", "~"])
def test_quoted_and_block_scalars_are_text(style, scalar):
    assert parse("m.yaml", f"a: {style.format(scalar)}\n".encode()).root == {"a": scalar}


@pytest.mark.parametrize("scalar", ["", "~", "null", ".nan", "-.inf", "1e400", "9" * 30])
def test_a_refused_scalar_spoils_its_path(scalar):
    document = parse("m.yaml", f"a:\n  b: {scalar}\n".encode())
    assert [(p.path, p.line) for p in document.problems] == [("a.b", 2)]
    assert ("a", "b") in document.spoiled
