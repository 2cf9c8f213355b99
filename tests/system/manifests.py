"""Hypothesis strategies for documents that policies judge: the valid ones, mutated."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from pipeline import manifest as manifests

ROOT = Path(__file__).parents[2]
VALID = manifests.load(ROOT / "examples" / "valid" / "model-manifest.yaml").document

# Around every threshold, and beyond what is sensible.
NUMBERS = [
    0, 1, -1, 2, 0.5, 0.8, 0.7999999, 0.85, 0.8499999, 0.8500001, 0.1, 0.0999999, -0.1, -0.0999999,
    0.3, 0.2999999, 0.02, 0.92, 0.94, 0.9399999, 0.93999, 0.9608, 0.9408, 0.9407999, 100, 99, 1000,
    999, 5000, 4999, 4999.5, 1e-07, 1e15, 1e16, 2**53, 1e300, -1e300, 12000.0,
]  # fmt: skip
TEXTS = [
    "", " ", "\n", "\t", "x", "true", "0.9", "é", "ß", "😀", '"', "\\", "a\\b", 'a"b', "a\nb", "{}",
    "\u0001", "\x7f", "null", "a b", "%", "%v", "a%2e%2e/b", "-", "_", "0",
    # dates
    "2026-11-23", "2026-11-22", "2026-11-24", "2026-13-01", "2026-1-1", "2026-11-23T00:00:00Z",
    # versions
    "1.2.0", "1.1.0", "1.2", "v1.2.0", "01.2.0", "1.2.0-rc.1", "1.2.0-01", "1.2.0+b.1", "1.2.0\n",
    "latest", "LATEST", "Main", "1.2.0-",
    # places
    "model.pt2", "a/b.pt2", "../model.pt2", "a/../b", "/etc/passwd", "a/./b", "a//b", "a/", "~/m",
    "file:///m", "http://h/m", "https://h/m", "https://h", "https://h/", "https://u:p@h/m",
    "https://h:8443/m.pt2", "s3://b/k", "s3://b", "S3://b/k", "s3://b/../k", "s3://b/k?x", "c:/m",
    "https://h/%2e%2e/m", "a\\..\\b", "gs://b/a/b.pt2", "..", ".", "a/..", "...", "a/...", "://x",
    # sources
    "s3://acme-bank-curated/transactions", "s3://acme-bank-curated/transactions/",
    "s3://acme-bank-curated/transactions/2026", "s3://acme-bank-curated/transactions-x",
    "s3://acme-bank-curated/transactions/../hr", "s3://acme-bank-curated", "sklearn.datasets/x",
    "sklearn.datasets/breast_cancer", "SKLEARN.datasets/breast_cancer",
    # dependencies
    "torch", "torch>=2", "torch >=2, <3", "Torch==2.6", "scikit_learn~=1.5", "Scikit.Learn>=1",
    "numpy!=2", "numpy>=2 ; python_version >= '3.11'", 'numpy>=2; python_version>="3.11"',
    "numpy>=2;", "evil>=1", "torch @ https://e/t.whl", "torch@https://e", "pandas[parquet]>=2",
    "pandas[Parquet, performance]>=2", "pandas[evil]>=2", "pandas[]>=2", "pandas[parquet>=2",
    "numpy (>=2)", "numpy>=", "numpy>2|3", "-numpy>=2", "numpy->=2", "numpy>=2\n", "numpy>=2 @x",
    "numpy[a]", "numpy===2", "numpy==2.*", "numpy,>=2", "numpy>=2,", "numpy>=2,,<3", "num py>=2",
    # quantities
    "250m", "1", "0.3", "300m", "0", "0m", "8", "8000m", "8001m", "9", "1.5", "0.0001", "01", "1k",
    "512Mi", "1Gi", "2Gi", "32Gi", "33Gi", "34359738368", "34359738369", "1024Ki", "1m", "1.5Gi",
    "1e3", "1 Gi", "-1", "999999Ti", "0.5Gi", "1E",
    # words
    "pytorch", "PyTorch", "tensorflow", "shap", "error_rate", "amount", "hour", "fraud-2026-11",
]  # fmt: skip
SCALARS = st.sampled_from([None, True, False, *NUMBERS, *TEXTS])
FREE = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.floats(-1e300, 1e300),
    st.integers(-(10**6), 10**12),
)
VALUES = st.one_of(
    SCALARS,
    FREE,
    st.lists(SCALARS, max_size=3),
    st.dictionaries(
        st.sampled_from(["amount", "hour", "x", "source", "version", "metric", "é"]),
        SCALARS,
        max_size=2,
    ),
)


def places(document: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a document, the document itself left out."""
    entries: list[tuple[str | int, Any]] = []
    if isinstance(document, dict):
        entries = list(document.items())
    elif isinstance(document, list):
        entries = list(enumerate(document))
    found = []
    for key, value in entries:
        found += [(*at, key), *places(value, (*at, key))]
    return found


def _judged(document: dict[str, Any]) -> list[tuple[str | int, ...]]:
    """The places that rules look at, those of golden inputs and the like left out."""
    ignored = ("golden_inputs", "healthCheck", "readinessCheck", "observability", "rollback")
    return [
        place
        for place in places(document)
        if not any(name in place for name in ignored) and len(place) > 1
    ]


EXTRA = [("spec", "previous_version"), ("spec", "model", "digest"), ("spec", "dependencies", 0)]
PLACES = [*_judged(VALID), *EXTRA * 3]


def put(document: Any, place: tuple[str | int, ...], value: Any, delete: bool) -> None:
    """Change the value at a place; nothing where an earlier change took the place away."""
    for step in place[:-1]:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return
    last = place[-1]
    if isinstance(document, dict) and isinstance(last, str):
        if delete:
            document.pop(last, None)
        else:
            document[last] = value
    elif isinstance(document, list) and isinstance(last, int) and last < len(document):
        if delete:
            del document[last]
        else:
            document[last] = value


CHANGES = st.lists(
    st.tuples(st.sampled_from(PLACES), VALUES, st.booleans()), min_size=0, max_size=4
)


@st.composite
def catalogs(draw: st.DrawFn) -> dict[str, Any]:
    """What the document says about the catalog, wrong shapes and nothing included."""
    metrics = st.dictionaries(st.sampled_from(["accuracy", "f1_score"]), VALUES, max_size=2)
    serving = st.one_of(
        st.none(),
        st.fixed_dictionaries({"version": st.sampled_from(["1.1.0", "1.2.0"]), "metrics": metrics}),
        st.just({"version": "1.1.0", "metrics": {"accuracy": 0.96, "f1_score": 0.92}}),
        VALUES,
    )
    return draw(
        st.one_of(
            st.just({"catalog": {"serving": None}}),
            serving.map(lambda value: {"catalog": {"serving": value}}),
            st.just({}),
            VALUES.map(lambda value: {"catalog": value}),
        )
    )


@st.composite
def governed(draw: st.DrawFn) -> dict[str, Any]:
    """A governance document without its environment."""
    manifest = copy.deepcopy(VALID)
    for place, value, delete in draw(CHANGES):
        put(manifest, place, value, delete)
    return {"manifest": manifest, **draw(catalogs())}


SEVERITIES = st.sampled_from(
    ["info", "low", "medium", "unknown", "high", "critical", "dreadful", None, 3]
)
FINDINGS = st.fixed_dictionaries(
    {
        "tools": st.lists(st.sampled_from(["bandit", "semgrep", 7]), max_size=2),
        "rule": st.sampled_from(["B104", "B105", "", None]),
        "severity": SEVERITIES,
    },
    optional={
        "location": st.one_of(
            st.none(),
            st.fixed_dictionaries(
                {"file": st.sampled_from(["app.py", 'a"b.py', "é.py", 7])},
                optional={"line": st.sampled_from([12, 12.0, 1.5, "12", None])},
            ),
        ),
        "package": st.sampled_from(["torch", None, 7]),
        "message": st.sampled_from(TEXTS),
    },
)
TOOLS = st.fixed_dictionaries(
    {
        "tool": st.sampled_from(
            [
                *("hadolint", "bandit", "semgrep", "detect-secrets", "pip-audit", "safety"),
                *("gitleaks", "trivy", "trivy-files", "grype", "dockle", "other", 7),
            ]
        )
    },
    optional={
        "status": st.sampled_from(["ran", "ran", "ran", "not run", None, 1]),
        "audited": st.sampled_from([3, 3, 3, 0, -1, 0.5, "3", None]),
        "reason": st.sampled_from(TEXTS),
    },
)
SUPPLIED = st.fixed_dictionaries(
    {
        "subject": st.sampled_from(
            ["lock", "lint", "lint", "scan", "scan", "scan", "inventory", "", 7]
        )
    },
    optional={
        "today": st.sampled_from(["2026-11-23", "2027-01-01", "", 7]),
        "locked": st.sampled_from([True, False, None, "true"]),
        "scan": st.one_of(
            st.fixed_dictionaries(
                {
                    "tools": st.lists(st.one_of(TOOLS, TOOLS, TOOLS, VALUES), max_size=8),
                    "findings": st.lists(st.one_of(FINDINGS, FINDINGS, VALUES), max_size=3),
                },
                optional={
                    "image": st.sampled_from([None, None, "sha256:0", "sha256:1", "", "é", 7, []])
                },
            ),
            VALUES,
        ),
        "inventory": st.one_of(
            st.fixed_dictionaries(
                {"differences": st.lists(VALUES, max_size=2), "packages": VALUES},
            ),
            VALUES,
        ),
    },
)
