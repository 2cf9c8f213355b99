"""terraform/ by the tools that look at it without AWS: tofu for the form and for every variable's
validation, trivy and checkov for what is insecure.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[3]
TERRAFORM = REPOSITORY / "terraform"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlifecycle-tests"
CHECKOV = Path(sys.prefix) / "infrastructure" / "bin" / "checkov"
# No calls home: there is nothing to be had from there.
SETTINGS = {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}


def program(name: str) -> str:
    path = CACHE / "bin" / name
    if not path.is_file():
        pytest.fail(f"There is no {path}. Run tests/system/tools/install.sh {name}.", pytrace=False)
    return str(path)


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    given = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    return subprocess.run(
        command, cwd=cwd, env=given | SETTINGS, capture_output=True, text=True, timeout=300
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TERRAFORM, tmp_path / "terraform"))


def test_everything_is_formatted(copy: Path) -> None:
    done = run(program("tofu"), "fmt", "-check", "-recursive", cwd=copy)
    assert (done.returncode, done.stdout) == (0, "")
    (copy / "main.tf").write_text((copy / "main.tf").read_text().replace("  name ", "name "))
    done = run(program("tofu"), "fmt", "-check", "-recursive", cwd=copy)
    assert (done.returncode, done.stdout) == (3, "main.tf\n")


# ---- variables: a plan of nothing but them needs no provider


@pytest.fixture
def variables(tmp_path: Path) -> Path:
    folder = tmp_path / "variables"
    folder.mkdir()
    shutil.copy(TERRAFORM / "variables.tf", folder)
    shutil.copy(TERRAFORM / "example.tfvars", folder)
    return folder


def planned(folder: Path, **values: Any) -> subprocess.CompletedProcess[str]:
    (folder / "over.auto.tfvars.json").write_text(json.dumps(values))
    done = run(program("tofu"), "init", "-no-color", cwd=folder)
    assert done.returncode == 0, done.stderr
    changes = ["-var-file=example.tfvars", "-var-file=over.auto.tfvars.json"]
    return run(program("tofu"), "plan", "-no-color", "-input=false", *changes, cwd=folder)


def test_the_example_s_values_are_taken(variables: Path) -> None:
    done = planned(variables)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("region", "Frankfurt"),
        ("account_id", "12345"),
        ("environment", "local"),
        ("name", "-models"),
        ("name", "a-name-that-is-too-long-for-a-load-balancer"),
        ("tags", {"environment": "prod"}),
        ("cidr", "10.0.0.0/24"),
        ("cidr", "10.0.0.0"),
        ("zones", ["eu-central-1a"]),
        ("zones", ["eu-central-1a", "eu-central-1a"]),
        ("zones", ["eu-west-1a", "eu-west-1b"]),
        ("operator_cidrs", ["0.0.0.0/0"]),
        ("operator_cidrs", ["10.0.0.0"]),
        ("kubernetes_version", "1.9"),
        ("node_groups", {}),
        ("node_groups", {"servers": {"instance_types": [], "min_size": 1, "max_size": 2}}),
        ("node_groups", {"servers": {"instance_types": ["m7i.xl"], "min_size": 3, "max_size": 2}}),
        ("models", []),
        ("models", ["fraud-detector"]),
        ("models", ["payments-risk/*"]),
        ("pipeline_service_account", {"name": "*"}),
        ("catalog_host", "https://mlflow.example.com"),
        ("zone_id", "example.com"),
        ("certificate_arn", "arn:aws:iam::123456789012:server-certificate/mlflow"),
        ("mlflow_image", "ghcr.io/mlflow/mlflow:latest"),
        ("database_password_version", 0),
        ("database_password_version", 1.5),
        ("database_instance_class", "t4g.small"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(variables: Path, name: str, value: Any) -> None:
    done = planned(variables, **{name: value})
    assert done.returncode == 1
    assert "Invalid value for variable" in done.stderr
    assert f"{name}: expected" in done.stderr or f"{name}: managed-by" in done.stderr


def test_subnets_of_the_largest_and_smallest_network_do_not_overlap(tmp_path: Path) -> None:
    """The locals of the network by tofu itself, over two and three zones."""
    source = (TERRAFORM / "modules" / "network" / "main.tf").read_text()
    (block,) = re.findall(r"^locals \{.*?^\}", source, re.S | re.M)
    shutil.copy(TERRAFORM / "modules" / "network" / "variables.tf", tmp_path)
    (tmp_path / "main.tf").write_text(
        block + '\noutput "subnets" { value = [local.private, local.public, local.storage] }\n'
    )
    assert run(program("tofu"), "init", cwd=tmp_path).returncode == 0
    for cidr in ("10.42.0.0/16", "10.42.0.0/20"):
        for zones in (["a", "b"], ["a", "b", "c"]):
            values = {"name": "x", "key_arn": "x", "nat_gateway_per_zone": True}
            (tmp_path / "a.auto.tfvars.json").write_text(
                json.dumps({"cidr": cidr, "zones": zones, **values})
            )
            done = run(program("tofu"), "apply", "-auto-approve", cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            output = json.loads(run(program("tofu"), "output", "-json", cwd=tmp_path).stdout)
            found = [
                ipaddress.ip_network(subnet)
                for layer in output["subnets"]["value"]
                for subnet in layer.values()
            ]
            assert len(found) == 3 * len(zones)
            assert all(subnet.subnet_of(ipaddress.ip_network(cidr)) for subnet in found)
            assert not any(a.overlaps(b) for a in found for b in found if a is not b)
            # EKS wants room for pods, RDS and a balancer eight addresses.
            assert all(subnet.num_addresses >= 64 for subnet in found)


# ---- what is insecure


def trivy(folder: Path) -> list[str]:
    done = run(
        program("trivy"), "config", "--quiet", "--skip-check-update", "--skip-version-check",
        "--tf-vars", "example.tfvars", "--format", "json", ".", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)["Results"]
    looked = sum(result.get("MisconfSummary", {}).get("Successes", 0) for result in results)
    assert looked > 100, "trivy has looked at next to nothing"
    return sorted({m["ID"] for result in results for m in result.get("Misconfigurations", [])})


def checkov(folder: Path) -> dict[str, Any]:
    if not CHECKOV.is_file():
        pytest.fail(f"There is no {CHECKOV}. Run make .venv/.infrastructure.", pytrace=False)
    done = run(
        str(CHECKOV), "--directory", ".", "--framework", "terraform", "--skip-download",
        "--quiet", "--compact", "--output", "json", cwd=folder,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    return dict(json.loads(done.stdout))


def test_trivy_finds_nothing_and_finds_a_planted_fault(copy: Path) -> None:
    assert trivy(copy) == []
    plant(copy, "modules/catalog/database.tf", "storage_encrypted     = true", "")
    plant(copy, "modules/registry/main.tf", '"IMMUTABLE"', '"MUTABLE"')
    assert {"AVD-AWS-0080", "AVD-AWS-0031"} <= set(trivy(copy))


def test_checkov_finds_nothing_and_finds_a_planted_fault(copy: Path) -> None:
    report = checkov(copy)
    assert report["results"]["failed_checks"] == []
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 400
    plant(copy, "modules/bucket/main.tf", "restrict_public_buckets = true", "")
    plant(copy, "modules/key/main.tf", "enable_key_rotation     = true", "")
    plant(copy, "modules/cluster/main.tf", 'resources = ["secrets"]', "resources = []")
    failed = {check["check_id"] for check in checkov(copy)["results"]["failed_checks"]}
    assert {"CKV_AWS_56", "CKV_AWS_7", "CKV_AWS_58"} <= failed


def test_every_exception_has_its_reason_beside_it() -> None:
    seen = 0
    for path in TERRAFORM.rglob("*.tf"):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if "checkov:skip" in line:
                assert re.search(r"checkov:skip=CKV2?_AWS_\d+: \w.{5,}", line), line
                seen += 1
            if "trivy:ignore" in line:
                assert re.fullmatch(r"#trivy:ignore:AVD-AWS-\d{4}", line), line
                assert re.match(r"# \w.{20,}", lines[number - 1]), line
                seen += 1
    assert seen >= 8


def plant(folder: Path, path: str, old: str, new: str) -> None:
    text = (folder / path).read_text()
    assert old in text
    (folder / path).write_text(text.replace(old, new))
