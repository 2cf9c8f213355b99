"""The server's command line: which release it says that it serves."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from serving import __main__ as program
from serving import settings
from serving.__main__ import RELEASE_DIGEST, main
from serving.errors import InvalidSettings


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The digests that the server took for its release's; it starts no further."""
    digests: list[str] = []

    def load(folder: Path, release_digest: str) -> settings.Settings:
        digests.append(release_digest)
        raise InvalidSettings("no further")

    monkeypatch.setattr(settings, "load", load)
    return digests


def test_the_digest_is_taken_from_the_environment(
    told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RELEASE_DIGEST, "sha256:image")
    assert main(["--release", str(tmp_path), "--port", "0"]) == 1
    assert told == ["sha256:image"]


def test_an_argument_goes_before_the_environment(
    told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RELEASE_DIGEST, "sha256:image")
    main(["--release", str(tmp_path), "--port", "0", "--release-digest", "sha256:argument"])
    assert told == ["sha256:argument"]


@pytest.mark.parametrize("empty", [None, ""])
def test_a_release_of_unknown_digest_is_not_served(
    empty: str | None,
    told: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if empty is None:
        monkeypatch.delenv(RELEASE_DIGEST, raising=False)
    else:
        monkeypatch.setenv(RELEASE_DIGEST, empty)
    with pytest.raises(SystemExit) as ended:
        main(["--release", str(tmp_path), "--port", "0"])
    assert ended.value.code == 2
    assert RELEASE_DIGEST in capsys.readouterr().err
    assert told == []


def test_what_is_loaded_is_left_out_of_collections() -> None:
    before = gc.get_freeze_count()
    try:
        program._attempt(list)
        assert gc.get_freeze_count() > before + 10_000
    finally:
        gc.unfreeze()
