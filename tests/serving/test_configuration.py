"""The server's own settings: each read as what it is, every mistake refused by name."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from serving import configuration
from serving.access import tokens
from serving.configuration import PREFIX, Configuration, read
from serving.errors import InvalidConfiguration
from serving.limits import Limits

KEYS = {"AUTHENTICATION": "keys", "KEYS_FILE": "/k"}
JWT = {
    "AUTHENTICATION": "jwt",
    "JWT_ISSUER": "https://issuer",
    "JWT_AUDIENCE": "model",
    "JWT_KEYS": "https://issuer/keys",
}


def of(**values: str) -> Configuration:
    return read({PREFIX + name: value for name, value in values.items()})


def test_without_variables_everything_is_as_the_table_says():
    found = read({"PATH": "/bin", "MLIFECYCLE_RELEASE_DIGEST": "x"})
    assert found == Configuration()
    assert found.limits == Limits()
    assert (found.host, found.port, found.authentication) == ("127.0.0.1", 8000, frozenset())


def test_values_are_read_as_what_they_are():
    found = of(**KEYS, RATE="2.5", BURST="7", PUBLIC="none", MAX_BODY="2048", AUDIT="stdout",
               AUDIT_INPUTS="0.5", AUDIT_MASKED="a, b")  # fmt: skip
    assert found.keys_file == Path("/k")
    assert (found.rate, found.burst, found.public) == (2.5, 7, frozenset())
    assert found.limits.max_body == 2048
    assert (found.audit, found.audit_inputs, found.audit_masked) == ("stdout", 0.5, {"a", "b"})
    assert of(**JWT, JWT_ALGORITHMS="ES256,RS256").jwt_algorithms == ("ES256", "RS256")
    assert of(**{**KEYS, **JWT, "AUTHENTICATION": "keys,jwt"}).authentication == {"keys", "jwt"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "65536"), ("PORT", "-1"), ("PORT", ""), ("PORT", "8e3"), ("PORT", "٣"),
        ("HOST", ""), ("AUTHENTICATION", ""), ("AUTHENTICATION", "key"),
        ("AUTHENTICATION", "none,keys"), ("AUTHENTICATION", "keys,keys"), ("PUBLIC", "predict"),
        ("KEYS_FILE", ""), ("KEYS_GRACE", "nan"), ("KEYS_GRACE", "-1"), ("KEYS_GRACE", "inf"),
        ("JWT_ALGORITHMS", "none"), ("JWT_ALGORITHMS", "HS256"), ("JWT_ALGORITHMS", "RS256,none"),
        ("JWT_KEYS", "http://issuer/keys"), ("JWT_KEYS", "file:///etc/keys"),
        ("JWT_KEYS", "https://user:secret@issuer/keys"), ("JWT_KEYS", "https://issuer:x/"),
        ("RATE", "0"), ("RATE", "fast"), ("BURST", "0"), ("AUDIT", ""), ("AUDIT_INPUTS", "1.1"),
        ("AUDIT_MASKED", "a,,b"), ("MAX_BODY", "4MB"), ("MAX_WAIT", "0"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_what_is_expected(name, value):
    with pytest.raises(InvalidConfiguration) as refused:
        of(**{name: value})
    told = str(refused.value)
    assert told.startswith(f"{PREFIX}{name} is ")
    assert f"expected {configuration.variables()[PREFIX + name][1].expected}" in told
    assert "secret" not in told


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"AUTHENTICATON": "keys"}, "AUTHENTICATON is not known"),
        ({"AUTHENTICATION": "keys"}, "KEYS_FILE is not set"),
        # Whoever mounts keys and forgets to demand them must not serve everybody.
        ({"KEYS_FILE": "/k"}, "KEYS_FILE is set, and MLIFECYCLE_SERVING_AUTHENTICATION does not"),
        ({**JWT, "KEYS_FILE": "/k"}, "KEYS_FILE is set"),
        ({**KEYS, "JWT_LEEWAY": "1"}, "JWT_LEEWAY is set"),
        ({name: value for name, value in JWT.items() if name != "JWT_AUDIENCE"}, "JWT_AUDIENCE is"),
        ({"PUBLIC": "none"}, "PUBLIC is set"),
        ({"RATE": "5"}, "RATE is set"),
        ({**KEYS, "BURST": "5"}, "BURST is set"),
        ({"AUDIT_INPUTS": "1"}, "AUDIT_INPUTS is set"),
        ({"AUDIT": "stdout", "AUDIT_MASKED": "a"}, "AUDIT_MASKED is set"),
    ],
)
def test_what_is_unknown_missing_or_without_effect_is_refused(values, told):
    with pytest.raises(InvalidConfiguration, match=told):
        of(**values)


def test_every_problem_is_told_at_once():
    with pytest.raises(InvalidConfiguration) as refused:
        of(PORT="x", BURST="y", NOTHING="z")
    assert [name in str(refused.value) for name in ("PORT", "BURST", "NOTHING")] == [True] * 3


def test_every_limit_has_a_variable_and_no_name_is_used_twice():
    assert list(configuration.LIMITS) == [each.name for each in fields(Limits)]
    assert len(configuration.variables()) == len(fields(Configuration)) - 1 + len(fields(Limits))


def test_the_algorithms_are_those_that_keys_can_be_for():
    assert set(configuration.ALGORITHMS) == set(tokens.ALGORITHMS)


def test_the_page_for_operators_lists_what_there_is():
    page = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()
    assert configuration.inserted(page) == page, "python -m serving.configuration writes it anew"


def test_the_command_ends_with_2_and_says_why(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "serving", "--release", str(tmp_path), "--release-digest", "x"],
        env={PREFIX + "PORT": "no", PREFIX + "PROT": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert f"{PREFIX}PORT is 'no'; expected a whole number from 0 to 65535" in done.stderr
    assert f"{PREFIX}PROT is not known" in done.stderr
    assert "Traceback" not in done.stderr
