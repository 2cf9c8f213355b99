"""API keys: made once, kept as hashes, read strictly, gone when the file is."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from serving.__main__ import main
from serving.access import keys
from serving.access.rates import Rate, Rates
from serving.access.refreshed import Refreshed, of_file
from serving.errors import InvalidKeys

NOW = time.time()


def written(*entries, **more):
    return json.dumps({"format": 1, "keys": list(entries), **more}).encode()


def entry(**more):
    return keys.make("billing")[1] | more


def test_a_key_opens_and_neither_the_file_nor_a_neighbour_does():
    text, made = keys.make("billing")
    other, second = keys.make("fraud")
    ring = keys.read(written(made, second))
    assert ring.owner(text.encode(), NOW).name == "billing"
    assert ring.owner(other.encode(), NOW).name == "fraud"
    for wrong in (
        b"", b"mlk_", made["sha256"].encode(), text[:-1].encode(), text.encode() + b"x",
        text[:13].encode() + other[13:].encode(), text.upper().encode(), b"\xff" * 60,
    ):  # fmt: skip
        assert ring.owner(wrong, NOW) is None
    assert text not in json.dumps(made)


def test_a_key_ends_when_it_says():
    text, made = keys.make("billing", expires=datetime.fromtimestamp(NOW, UTC))
    ring = keys.read(written(made))
    assert ring.owner(text.encode(), NOW - 2)
    assert ring.owner(text.encode(), NOW + 2) is None


def test_no_keys_let_nobody_in():
    ring = keys.read(written())
    assert ring.owner(keys.make("x")[0].encode(), NOW) is None
    assert ring.owner(b"", NOW) is None


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"null", b'{"format": 1}', written(format=2), written(format=True),
        written(more=1), b'{"format": 1, "keys": {}}', b'{"format": 1, "keys": [1]}', b"[" * 99999,
        written(entry(id="x")), written(entry(name="")), written(entry(name="a\nb")),
        written(entry(name=1)), written(entry(salt="")), written(entry(salt="g" * 32)),
        written(entry(sha256="a" * 63)), written(entry(sha256=None)), written(entry(rate=0)),
        written(entry(rate=-1)), written(entry(rate=True)), written(entry(rate="5")),
        written(entry(burst=0)), written(entry(burst=1.5)), written(entry(expires="soon")),
        written(entry(expires="2027-01-01T00:00:00")), written(entry(expires=5)),
        written(entry(more=1)), written(entry(), entry()), written(entry(id="a" * 8),
        entry(name="b", id="a" * 8)), b'{"format": 1, "keys": [{"rate": NaN}]}',
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused_as_a_whole(data):
    with pytest.raises(InvalidKeys):
        keys.read(data)


def test_the_command_makes_lists_and_removes_keys(tmp_path, capsys):
    file = tmp_path / "keys.json"
    arguments = ["--file", str(file)]
    assert main(["keys", "new", "billing", "--rate", "5", *arguments]) == 0
    first = capsys.readouterr().out.strip()
    assert main(["keys", "new", "fraud", "--expires", "2027-01-31T00:00:00Z", *arguments]) == 0
    assert main(["keys", "new", "billing", *arguments]) == 1
    assert "already" in capsys.readouterr().err
    assert keys.read(file.read_bytes()).owner(first.encode(), NOW).rate == 5
    assert first not in file.read_text()
    assert main(["keys", "list", *arguments]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == ["billing", "fraud"]
    assert main(["keys", "remove", "billing", *arguments]) == 0
    assert keys.read(file.read_bytes()).owner(first.encode(), NOW) is None
    assert main(["keys", "remove", "billing", *arguments]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]


@pytest.mark.parametrize("wrong", [["new", "a b"], ["new", "x", "--rate", "0"], ["list"]])
def test_the_command_refuses_in_one_line_and_changes_nothing(wrong, tmp_path, capsys):
    file = tmp_path / "keys.json"
    assert main(["keys", *wrong, "--file", str(file)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not file.exists()


def eventually(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def refreshed(file, grace):
    found = Refreshed("the key file", of_file(file), keys.read, 0.02, grace)
    found.load()
    found.start()
    return found


def test_a_changed_file_counts_without_a_restart(tmp_path):
    file = tmp_path / "keys.json"
    first, second = keys.make("a"), keys.make("b")
    file.write_bytes(written(first[1]))
    source = refreshed(file, 60)
    try:
        assert source.value.owner(first[0].encode(), NOW)
        # As a mounted secret changes: its name means another file from one moment to the next.
        (tmp_path / "new").write_bytes(written(second[1]))
        (tmp_path / "new").replace(file)
        eventually(lambda: source.value.owner(second[0].encode(), NOW))
        assert source.value.owner(first[0].encode(), NOW) is None
    finally:
        source.stop()


@pytest.mark.parametrize("break_it", [lambda f: f.unlink(), lambda f: f.write_text("{")])
def test_a_broken_file_is_borne_for_a_while_and_no_longer(tmp_path, break_it):
    file = tmp_path / "keys.json"
    text, made = keys.make("a")
    file.write_bytes(written(made))
    patient, strict = refreshed(file, 600), refreshed(file, 0.1)
    try:
        break_it(file)
        eventually(lambda: strict.value is None)
        assert "the key file" in strict.reason()
        eventually(lambda: patient.trouble)
        assert patient.value.owner(text.encode(), NOW)
        assert patient.reason() == ""
        file.write_bytes(written(made))
        eventually(lambda: strict.value is not None)
        assert strict.reason() == ""
        eventually(lambda: not patient.trouble)
    finally:
        patient.stop()
        strict.stop()


def test_a_file_that_is_too_large_or_absent_at_the_start_is_refused(tmp_path):
    source = Refreshed("it", of_file(tmp_path / "none"), keys.read, 1, 1)
    with pytest.raises(InvalidKeys, match="No such file"):
        source.load()
    (tmp_path / "big").write_bytes(bytes(5 * 2**20))
    with pytest.raises(InvalidKeys, match="bytes"):
        Refreshed("it", of_file(tmp_path / "big"), keys.read, 1, 1).load()


def test_a_burst_then_the_rate():
    rates, rate = Rates(), Rate(10, 3)
    assert [rates.wait("a", rate, 100.0) for _ in range(3)] == [0, 0, 0]
    assert rates.wait("a", rate, 100.0) == pytest.approx(0.1)
    assert rates.wait("b", rate, 100.0) == 0
    assert rates.wait("a", rate, 100.1) == 0
    assert rates.wait("a", rate, 100.1) == pytest.approx(0.1)
    # what was refused was not counted
    assert [rates.wait("a", rate, 200.0) == 0 for _ in range(4)] == [True, True, True, False]


def test_over_a_long_time_no_more_than_the_rate_gets_through():
    rates, rate = Rates(), Rate(50, 5)
    passed = sum(not rates.wait("a", rate, tick / 1000) for tick in range(10_000))
    assert 500 <= passed <= 505


def test_a_share_of_a_rate_and_many_callers(monkeypatch):
    assert Rate.of(100, None, 4) == Rate(25, 25)
    assert Rate.of(0.5, None) == Rate(0.5, 1)
    monkeypatch.setattr("serving.access.rates._MOST", 10)
    rates = Rates()
    for caller in range(1000):
        rates.wait(str(caller), Rate(10, 1), float(caller))
    assert len(rates._full) <= 11


def test_expiry_is_kept_in_the_file_with_its_zone():
    later = datetime.now(UTC) + timedelta(days=1)
    _, made = keys.make("x", expires=later)
    assert keys.read(written(made)).keys[0].expires == pytest.approx(later.timestamp())
