from __future__ import annotations

from judging import BUNDLE

from pipeline.policy import reference


def test_the_page_in_the_repository_is_the_generated_one() -> None:
    assert reference.FILE.read_text() == reference.page(BUNDLE), "run make generate"


def test_every_rule_is_on_it_once() -> None:
    page = reference.page(BUNDLE)
    for rule in [*BUNDLE.rules, "MG-ENG-001"]:
        assert page.count(f"| `{rule}` |") == 1


def test_a_bar_in_a_text_ends_no_cell() -> None:
    assert reference._cell("a | b\n c") == "a \\| b c"
