"""The SDK's decorators with complete types.

Its own are methods, which mypy does not take for a `dataclass_transform`, and their overloads do
not know the argument `cache`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar, dataclass_transform

import dagger

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def field() -> Any:
    """An attribute that callers can read."""
    return dagger.field()


@dataclass_transform(kw_only_default=True, field_specifiers=(field,))
def object_type(cls: type[T]) -> type[T]:
    """A class that callers see; its attributes without `field` are its own state."""
    decorated: type[T] = dagger.object_type(cls)
    return decorated


def function(*, cache: Literal["never", "session"] | None = None) -> Callable[[F], F]:
    """A method that callers see. Without `cache` its result is kept for seven days."""
    decorate: Any = dagger.function
    decorated: Callable[[F], F] = decorate(cache=cache)
    return decorated


def check(method: F) -> F:
    """A function that `dagger check` calls."""
    decorate: Any = dagger.check
    decorated: F = decorate(method)
    return decorated
