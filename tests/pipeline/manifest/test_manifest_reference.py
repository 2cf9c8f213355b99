"""Every field has an effect, and the reference lists it."""

import re

from pipeline import resources
from pipeline.manifest.reference import FILE, holds_fields, sections, text
from pipeline.manifest.schema import resolve

RULE = re.compile(r"MG-[A-Z0-9]+-[0-9]{3}")


def fields():
    for place, schema in sections():
        for name, field in schema["properties"].items():
            yield f"{place}.{name}", field


def test_every_field_says_what_it_means():
    lacking = [name for name, field in fields() if not resolve(field).get("description")]
    assert not lacking


def test_every_field_has_an_effect():
    lacking = [n for n, field in fields() if not holds_fields(field) and not field.get("effect")]
    assert not lacking


def test_the_page_is_the_generated_one():
    assert FILE.read_text(encoding="utf-8") == text(), "run python -m pipeline.manifest.reference"


def test_the_page_lists_every_field():
    page = text()
    assert len(list(fields())) > 90
    for place, schema in sections():
        table = page.partition(f"## {f'`{place}`' if place else 'Top level'}\n")[2].partition("##")[
            0
        ]
        for name in schema["properties"]:
            assert f"| `{name}` |" in table


def test_rows_have_five_cells():
    rows = [line for line in text().splitlines() if line.startswith("|")]
    assert rows
    for row in rows:
        assert row.replace("\\|", "").count("|") == 6, row


def test_the_rules_that_effects_name_exist():
    rules = "".join(path.read_text("utf-8") for path in resources.folder("policies").glob("*.rego"))
    named = {rule for _, field in fields() for rule in RULE.findall(field.get("effect", ""))}
    assert len(named) > 20
    assert named <= set(RULE.findall(rules))
