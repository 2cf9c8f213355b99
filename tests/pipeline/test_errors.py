from __future__ import annotations

import pytest

from pipeline.errors import EnvironmentFailed, first_of

OURS = EnvironmentFailed("The disk is full.", "Make room.")
ODD = ValueError("odd")


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (ODD, ODD),
        (ExceptionGroup("", [ODD]), ODD),
        (ExceptionGroup("", [ODD, OURS]), OURS),
        (ExceptionGroup("", [ODD, ExceptionGroup("", [ValueError("more"), OURS])]), OURS),
        (ExceptionGroup("", [ExceptionGroup("", [ODD]), ValueError("more")]), ODD),
    ],
)
def test_of_failures_at_once_the_one_with_a_remedy_is_told(
    raised: BaseException, told: BaseException
) -> None:
    assert first_of(raised) is told
