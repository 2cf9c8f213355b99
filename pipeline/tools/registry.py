"""The scanners that a scan runs. Which of them must have run is the environment's policy."""

from __future__ import annotations

from pipeline.tools import bandit, detect_secrets, hadolint, pip_audit, safety, semgrep
from pipeline.tools.interface import Scanner

SCANNERS: tuple[Scanner, ...] = (
    hadolint.SCANNER,
    bandit.SCANNER,
    semgrep.SCANNER,
    detect_secrets.SCANNER,
    pip_audit.SCANNER,
    safety.SCANNER,
)
