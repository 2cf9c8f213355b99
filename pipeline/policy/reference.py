"""docs/policies.md, generated from the annotations of the rules.

`python -m pipeline.policy.reference` writes it; a test compares the two.
"""

from __future__ import annotations

from pathlib import Path

from pipeline import resources
from pipeline.policy.annotations import Rule
from pipeline.policy.bundle import Bundle
from pipeline.policy.decision import UNDECIDED

FILE = Path(__file__).parents[2] / "docs" / "policies.md"

_INTRODUCTION = """\
# Policies

<!-- Written by `python -m pipeline.policy.reference`; edit the rules, not this page. -->

Rego decides; stages only report. A rule denies when what it reads is absent, null or of the wrong
type, by itself, without trusting the manifest's schema. What is required, allowed and enough is
set by environment in `policies/data/{local,dev,staging,prod}.yaml`.

A violation names the rule, the path, what was found and what was expected. `deny` stops the
pipeline (exit code 1); `warn` is shown and kept in the record.
"""

_OWN = """\
## Your own policies

`--policies DIR` takes a folder with `*.rego` (at any depth; `*_test.rego` stays out) and
`data/<environment>.yaml`.

- `--policies-mode extend` (the default) adds to what is above. Data is laid over ours: mappings
  key by key, lists and values replaced whole. Rules go into packages named
  `mlifecycle.extensions.governance.NAME` (asked about manifests),
  `mlifecycle.extensions.supply_chain.NAME` (asked about locks, lints, scans and inventories) or
  `mlifecycle.extensions.deployment.NAME` (asked about rendered objects), and functions that they
  share into `mlifecycle.extensions.lib.NAME`. A package with rules has a set
  `violations` of objects with `id`, `level` (`deny` or `warn`), `path`, `actual` and `expected`.
  Rules can deny more; they cannot unsay one of ours.
- `--policies-mode replace` takes the folder instead of ours. It must define
  `data.mlifecycle.governance.decision`, `data.mlifecycle.supply_chain.decision` and, where objects
  are rendered, `data.mlifecycle.deployment.decision`, each an object with `allow` and `violations`.

```rego
package mlifecycle.extensions.governance.names

# METADATA
# title: Models are named after their team
# description: So that everybody knows whom to call.
# custom:
#   id: BANK-NAME-001
#   severity: deny
#   remedy: Start the name with the team's.
violations contains {
	"id": "BANK-NAME-001",
	"level": "deny",
	"path": "metadata.name",
	"actual": object.get(input.manifest.metadata, "name", null),
	"expected": "a name that starts with the team's",
} if {
	not startswith(input.manifest.metadata.name, input.manifest.metadata.labels.team)
}
```

A policy that does not compile, fails (a built-in that fails included), runs away or gives no
decision denies, as `MG-ENG-001`, with its file and the engine's message. One's own
policies must also please `opa check`, because rego-cpp takes a misspelt variable for undefined: a
complaint denies as `MG-ENG-002`, and so does, in staging and prod, a machine without OPA. A folder
that is missing and data that cannot be read are refused before anything is judged (exit code 2).

On a host, rego-cpp evaluates the policies. It agrees with OPA on ours (`make test-system` compares
them), but not on all of Rego: it lacks `http.send`, `net.cidr_*` and `json.match_schema`; patterns
match a text as JSON writes it, and `.` matches a line break; `sprintf` puts quotes around a text
that was put together; `abs` rounds; `some key, value in …` does not parse inside a comprehension;
and two functions of one name with different numbers of arguments can make it crash, which denies.
Test your own policies with both.

## What the policies see

`mlifecycle.governance` is given:

- `environment`
- `manifest`, as it is written
- `catalog.serving`: null, or the `version` and `metrics` of what serves there now

`mlifecycle.supply_chain` is given `environment` and `subject`, and by subject:

- `lock`: `locked`
- `scan`: `scan.image` (its digest, or null where the release is a folder), `scan.tools`,
  `scan.findings`, and `today` (YYYY-MM-DD, for waivers)
- `lint`: the same of a scan before anything is built, in which only scanners of sources run
- `inventory`: `inventory.packages` and `inventory.differences`

`mlifecycle.deployment` is given `environment` and `objects`, every rendered Kubernetes object.
"""

_GATES = (
    ("MG-", "Governance", "Judged by `govern`, before anything is fetched or built."),
    ("SC-", "Supply chain", "Judged by `build` (lock), `lint`, `scan` and `sbom` (inventory)."),
    (
        "KD-",
        "Kubernetes objects",
        "Judged by `judge`, right after `render` and before anything is pushed or a cluster is "
        "asked. Every object is judged, and every pod spec in it, whatever its kind.",
    ),
)


def page(bundle: Bundle) -> str:
    """The whole page, from the rules of `bundle`."""
    parts = [_INTRODUCTION]
    for prefix, title, when in _GATES:
        rules = [rule for rule in bundle.rules.values() if rule.id.startswith(prefix)]
        if prefix == "MG-":
            rules.append(UNDECIDED)
        rules.sort(key=lambda rule: rule.id)
        parts.append(f"## {title}\n\n{when}\n\n" + _table(rules))
    return "\n".join([*parts, _OWN])


def _table(rules: list[Rule]) -> str:
    rows = [
        "| Rule | | Meaning | What to do |",
        "|---|---|---|---|",
        *(
            f"| `{rule.id}` | {rule.severity} | **{_cell(rule.title)}.** {_cell(rule.description)} "
            f"| {_cell(rule.remedy)} |"
            for rule in rules
        ),
    ]
    return "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Write the page."""
    FILE.write_text(page(Bundle.load(resources.folder("policies"))), encoding="utf-8")


if __name__ == "__main__":
    main()
