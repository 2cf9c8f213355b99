"""The scanners that a scan may run. Which of them must have run is the environment's policy."""

from __future__ import annotations

from pipeline.tools import (
    bandit,
    detect_secrets,
    dockle,
    gitleaks,
    grype,
    hadolint,
    pip_audit,
    safety,
    semgrep,
    trivy,
)
from pipeline.tools.interface import Scanner

SCANNERS: tuple[Scanner, ...] = (
    hadolint.SCANNER,
    bandit.SCANNER,
    semgrep.SCANNER,
    detect_secrets.SCANNER,
    gitleaks.SCANNER,
    trivy.FILES,
    pip_audit.SCANNER,
    safety.SCANNER,
    trivy.SCANNER,
    grype.SCANNER,
    dockle.SCANNER,
)
