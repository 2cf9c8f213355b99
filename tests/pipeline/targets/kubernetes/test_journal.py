from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipeline.errors import EnvironmentFailed
from pipeline.targets.kubernetes.journal import JOURNAL, KEPT, Journal, journal_of
from pipeline.targets.kubernetes.objects import Key, is_ours, parse

AT = datetime(2026, 11, 25, tzinfo=UTC)
OBJECTS = parse(b"apiVersion: v1\nkind: Service\nmetadata: {name: model, namespace: risk}\n")


def after(*revisions: str) -> Journal:
    journal = Journal()
    for revision in revisions:
        journal = journal.settled(revision, OBJECTS, AT)
    return journal


def test_a_rollback_goes_to_what_served_before_and_then_further_back() -> None:
    journal = after("a", "b", "c")
    assert journal.before() == "b"
    journal = journal.settled("b", OBJECTS, AT)
    assert (journal.serving, journal.before()) == ("b", "a")
    journal = journal.settled("a", OBJECTS, AT)
    assert journal.before() is None


def test_a_deploy_after_a_rollback_returns_to_what_served_then() -> None:
    journal = after("a", "b", "a", "c")
    assert journal.before() == "a"


def test_the_same_revision_again_is_no_other_one() -> None:
    journal = after("a", "b", "b")
    assert journal.revisions == ("b", "a")
    assert journal.before() == "a"


def test_only_the_newest_revisions_are_kept() -> None:
    journal = after(*"abcdefgh")
    assert journal.revisions == tuple("hgfed")
    assert len(journal.revisions) == KEPT


def test_an_inventory_comes_back_as_it_was_written() -> None:
    journal = Journal.model_validate_json(after("a").model_dump_json())
    assert journal.keys == [Key("v1", "Service", "risk", "model")]
    space = Key("v1", "Namespace", "", "risk")
    assert Key.read(space.written) == space


def test_what_is_no_journal_is_said() -> None:
    metadata = {"name": "mlifecycle-model", "namespace": "risk"}
    for data in (None, {}, {JOURNAL: "{}x"}, {JOURNAL: '{"format": 2}'}, {JOURNAL: '{"more": 1}'}):
        with pytest.raises(EnvironmentFailed, match="risk/mlifecycle-model cannot be read"):
            journal_of({"metadata": metadata, "data": data})


def test_an_object_is_ours_by_both_labels() -> None:
    def live(**labels: str) -> dict[str, object]:
        return {"metadata": {"labels": labels}}

    ours = {"app.kubernetes.io/managed-by": "mlifecycle", "app.kubernetes.io/name": "model"}
    assert is_ours(live(**ours), "model")
    assert not is_ours(live(**ours), "another")
    assert not is_ours(live(**{"app.kubernetes.io/name": "model"}), "model")
    assert not is_ours({"metadata": {"labels": None}}, "model")
    assert not is_ours({}, "model")
