"""A company's own policies: beside the bundled ones, or in their place."""

from __future__ import annotations

from pathlib import Path

import pytest
from calls import message
from conftest import Ask, Call

RULE = """\
package mlifecycle.extensions.governance.acme

# METADATA
# title: Somebody is named
# description: Whoever is woken at night has to be named.
# custom:
#   id: ACME-OWN-001
#   severity: deny
#   remedy: Name a mail address under metadata.labels.
violations contains {
	"id": "ACME-OWN-001",
	"level": "deny",
	"path": "metadata.labels.mail",
	"actual": null,
	"expected": "a mail address",
} if {
	not input.manifest.metadata.labels.mail
}
"""

DECISION = """\
package mlifecycle.{name}

decision := {{"allow": true, "violations": []}}
"""

MODES = """
{
  bundled: mlifecycle(source: $folder, images: $images) {
    govern(manifest: $manifest) { ...verdict }
  }
  extended: mlifecycle(source: $folder, images: $images, policies: $more) {
    govern(manifest: $manifest) { ...verdict }
  }
  stricter: mlifecycle(source: $folder, images: $images, policies: $data) {
    govern(manifest: $manifest) { ...verdict }
  }
  replaced: mlifecycle(
    source: $folder, images: $images, policies: $instead, policiesMode: REPLACE
  ) {
    govern(manifest: $manifest) { ...verdict }
  }
}

fragment verdict on MlifecycleVerdict {
  allowed
  policyDigest
  violations { rule remedy }
}
"""


def written(folder: Path, **files: str) -> Path:
    """A folder of policies; `_` in a name is a dot, `__` a folder."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_own_policies_deny_more_or_stand_in_the_place_of_ours(
    ask: Ask, good: Path, tmp_path: Path
) -> None:
    folders = {
        "folder": good.parent,
        "more": written(tmp_path / "more", acme_rego=RULE),
        "data": written(tmp_path / "data", data__local_yaml="metrics: {accuracy: {minimum: 0.99}}"),
        "instead": written(
            tmp_path / "instead",
            a_rego=DECISION.format(name="governance"),
            b_rego=DECISION.format(name="supply_chain"),
            data__local_yaml="{}",
        ),
    }
    verdicts = {
        mode: answer["govern"]
        for mode, answer in ask(MODES, folders=folders, files={"manifest": good}).items()
    }
    rules = {mode: [v["rule"] for v in verdicts[mode]["violations"]] for mode in verdicts}
    assert rules == {
        "bundled": [],
        "extended": ["ACME-OWN-001"],
        "stricter": ["MG-ACC-001"],
        "replaced": [],
    }
    assert {mode: verdicts[mode]["allowed"] for mode in verdicts} == {
        "bundled": True,
        "extended": False,
        "stricter": False,
        "replaced": True,
    }
    assert verdicts["extended"]["violations"][0]["remedy"].startswith("Name a mail address")
    assert len({verdict["policyDigest"] for verdict in verdicts.values()}) == len(verdicts)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("package acme\n", "mlifecycle.extensions.governance.NAME"),
        (RULE.replace("not input", "not imput"), "imput"),
    ],
    ids=["in a package of its own", "misspelt"],
)
def test_a_policy_that_could_not_deny_stops_the_call(
    call: Call, good: Path, tmp_path: Path, text: str, said: str
) -> None:
    policies = written(tmp_path / "policies", acme_rego=text)
    done = call("--policies", policies, "deploy", "--manifest", good, source=good.parent)
    assert said in message(done)
    assert "acme.rego" in message(done)


def test_nothing_stands_in_the_place_of_ours_unnamed(call: Call, good: Path) -> None:
    done = call("--policies-mode", "REPLACE", "govern", "--manifest", good, source=good.parent)
    assert "Add --policies DIR" in message(done)
