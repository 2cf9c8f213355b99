"""What can only fail at the end is refused at the beginning."""

from __future__ import annotations

from typing import Any, cast

import pytest

from pipeline.errors import InvalidInput
from pipeline.functions.arguments import Environment, PoliciesMode
from pipeline.functions.settings import Settings


def settings(**changes: Any) -> Settings:
    none = dict.fromkeys(Settings.__dataclass_fields__)
    given = {"environment": Environment.LOCAL, "policies_mode": PoliciesMode.EXTEND}
    return Settings(**cast(dict[str, Any], none | given | changes))


@pytest.mark.parametrize("address", ["ghcr.io/acme/models", "acme/models", "127.0.0.1:5000/a"])
def test_a_repository_is_where_images_go(address: str) -> None:
    settings(registry=address).check()


@pytest.mark.parametrize(
    "address", ["https://ghcr.io/acme", "ghcr.io/acme:v1", "", "ghcr.io/Acme", "a b", "x@sha256:1"]
)
def test_what_is_no_repository_is_refused(address: str) -> None:
    with pytest.raises(InvalidInput, match="a repository"):
        settings(registry=address).check()


def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(InvalidInput) as refused:
        settings(registry="https://user:hidden@ghcr.io/acme").check()
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("name", ["package_index", "torch_index"])
@pytest.mark.parametrize(
    "address", ["https://user:hidden@packages.acme.example/simple", "packages.acme.example", ""]
)
def test_an_index_is_an_address_without_a_password(name: str, address: str) -> None:
    with pytest.raises(InvalidInput, match="the address of an index") as refused:
        settings(**{name: address}).check()
    assert "hidden" not in str(refused.value)


def test_an_index_may_be_named() -> None:
    settings(package_index="https://packages.acme.example/simple").check()


@pytest.mark.parametrize("given", [{"registry_username": "u"}, {"registry_password": object()}])
def test_user_and_password_come_together(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="together"):
        settings(registry="ghcr.io/acme/models", **given).check()
