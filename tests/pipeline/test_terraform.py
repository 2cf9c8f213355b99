"""terraform/: every reference is declared, what is declared is used, and modules get what they ask.

What needs tofu, trivy or checkov is in tests/system/terraform.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import terraform_references as terraform

TERRAFORM = Path(__file__).parents[2] / "terraform"
ROOTS = (TERRAFORM, TERRAFORM / "bootstrap")


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root.name)
def test_every_reference_is_declared_and_every_declaration_used(root: Path) -> None:
    assert terraform.faults(root) == []


def test_every_module_is_called() -> None:
    called = set()
    for folder in [*ROOTS, *(TERRAFORM / "modules").iterdir()]:
        for call in terraform.read(folder).calls.values():
            called.add((folder / call["source"].strip('"')).resolve().name)
    assert called == {folder.name for folder in (TERRAFORM / "modules").iterdir()}


def test_the_parser_sees_what_is_there() -> None:
    """Else a check of every reference would look at none."""
    module = terraform.read(TERRAFORM)
    assert {"var.region", "local.name", "module.key.arn"} <= module.used
    catalog = terraform.read(TERRAFORM / "modules" / "catalog")
    assert "ephemeral.aws_secretsmanager_random_password.this" in catalog.blocks & catalog.used
    assert "data.aws_iam_policy_document.server" in catalog.blocks & catalog.used
    assert len(catalog.used) > 40


@pytest.mark.parametrize(
    ("path", "old", "new", "fault"),
    [
        ("outputs.tf", "var.region", "var.regions", "var.regions is not declared"),
        ("main.tf", "local.production", "local.live", "local.live is not declared"),
        ("outputs.tf", "module.models.name", "module.models.id", "module.models.id is not"),
        ("outputs.tf", "module.models.name", "module.model.name", "module.model.name is not"),
        ("main.tf", "  cidr    = var.cidr\n", "", "module.network has no argument cidr"),
        ("main.tf", "  cidr    =", "  cidrs   =", "module.network takes no cidrs"),
        ("modules/key/outputs.tf", "key.this.arn", "key.that.arn", "aws_kms_key.that is not"),
        (
            "modules/key/main.tf",
            "policy_document.key.json",
            "policy_document.lock.json",
            "data.aws_iam_policy_document.lock is not declared",
        ),
        (
            "modules/catalog/database.tf",
            "= ephemeral.aws_secretsmanager_random_password.this",
            "= ephemeral.aws_secretsmanager_random_password.that",
            "ephemeral.aws_secretsmanager_random_password.that is not declared",
        ),
        ("modules/registry/main.tf", "var.key_arn", '"other"', "registry: var.key_arn is never"),
        (
            "modules/registry/outputs.tf",
            'description = "The registry\'s host name."',
            "",
            "output.host has no description",
        ),
    ],
)
def test_a_planted_fault_is_found(
    tmp_path: Path, path: str, old: str, new: str, fault: str
) -> None:
    root = tmp_path / "terraform"
    shutil.copytree(TERRAFORM, root)
    text = (root / path).read_text()
    assert old in text
    (root / path).write_text(text.replace(old, new))
    assert any(fault in found for found in terraform.faults(root)), terraform.faults(root)
