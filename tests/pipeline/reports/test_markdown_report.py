from __future__ import annotations

import re

import pytest

from pipeline.record import Outcome, RunRecord
from pipeline.reports import markdown


def bare(line: str) -> str:
    """A line without its code and its escaped characters: what a renderer takes for markup."""
    line = re.sub(r"(?<!\\)`[^`]*`", "", line)
    return re.sub(r"</?code>|\\.", "", line)


def test_what_a_reader_looks_for(record: RunRecord) -> None:
    text = markdown.render(record)
    assert "# deploy: denied" in text
    assert "| govern | passed (found by digest) | 0.10 s | 31 rules hold |" in text
    assert "`SC-VUL-001`" in text
    assert "Upgrade jinja2 to 2.11.3." in text
    assert "**not run**: no network (as of 12:00 UTC)" in text
    assert "`sha256:aa`" in text
    assert "`reports/bandit.json`" in text
    command = "mlifecycle deploy --manifest 'examples/valid/model manifest.yaml'"
    assert f"```sh\n{command} --environment staging\n```" in text


def test_findings_are_merged_and_worst_first(record: RunRecord) -> None:
    section = markdown.render(record).partition("## Findings")[2].partition("##")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")][2:]
    assert [row.split("|")[1].strip() for row in rows] == ["unknown", "medium"]


def test_long_lists_refer_to_the_file(record: RunRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown, "FINDINGS", 1)
    assert "1 more are in `reports/findings.json`" in markdown.render(record)


@pytest.mark.parametrize("outcome", [*Outcome, None])
def test_every_outcome_has_a_word(record: RunRecord, outcome: Outcome | None) -> None:
    assert markdown.render(record.model_copy(update={"outcome": outcome}))


def test_hostile_text_adds_neither_markup_nor_cells(hostile: RunRecord) -> None:
    text = markdown.render(hostile)
    assert not {"\x1b", "\u202e", "\x00", "\ud800"} & set(text)
    heads = {line for line in text.splitlines() if line.startswith("#")}
    assert len([line for line in heads if line.startswith("# ")]) == 1
    table: list[str] = []
    for line in text.splitlines():
        table = [*table, line] if line.startswith("|") else []
        assert len({bare(row).count("|") for row in table}) <= 1
        if line.startswith("|"):
            assert not set("<>[]_~`") & set(bare(line))
            assert not re.search(r"https?://", bare(line))


def test_hostile_text_cannot_end_the_code_block() -> None:
    first, *_, last = markdown.code_block("a\n```\n# not code").splitlines()
    assert (first, last) == ("````sh", "````")


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("www.example.test", r"www\.example.test"),
        ("http://example.test", r"http\://example.test"),
        ("<b> & </b>", "&lt;b&gt; &amp; &lt;/b&gt;"),
        ("~~x~~ *y* a|b", r"\~\~x\~\~ \*y\* a\|b"),
        ("a\\", r"a\\"),
        ("plain 0.85, it is.", "plain 0.85, it is."),
    ],
)
def test_escaped(text: str, escaped: str) -> None:
    assert markdown.escaped(text) == escaped


@pytest.mark.parametrize(
    ("text", "code"),
    [("", ""), ("sha256:aa", "`sha256:aa`"), ("a`b|c", r"<code>a\`b\|c</code>")],
)
def test_code(text: str, code: str) -> None:
    assert markdown.code(text) == code
