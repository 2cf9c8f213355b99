"""Record gitleaks', dockle's, grype's and trivy's reports anew; see reports/README.md.

As record.py does, but with programs that no wheel brings, which `tests/system/tools/install.sh` and
`tests/system/databases/install.sh` build.
"""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import image_inputs as given
import planted_defects as planted
import planted_images as images
from record import record

from pipeline.tools import dockle, gitleaks, grype, trivy

# Files by which a submitter might hope to hide a key from gitleaks; it leaves out the second.
HIDING = {
    "allowed.py": f'key = "{planted.AWS_KEY}"  # gitleaks:allow\n',
    ".gitleaks.toml": "[allowlist]\npaths = ['.*']\n",
    ".gitleaksignore": "submission/train.py:aws-access-token:8\n",
}
OLD = timedelta(days=9)


def main(folder: Path) -> None:
    os.environ["MLIFECYCLE_TOOLS"] = str(given.PROGRAMS)
    chosen = sys.argv[1:] or ["gitleaks", "dockle", "grype", "trivy"]
    bad = {"image.tar": images.bad(folder / "bad.tar")}
    good = {"image.tar": images.good(folder / "good.tar")}
    bare = {"image.tar": images.bare(folder / "bare.tar")}
    planted.write(folder, {"broken.tar": "no archive\n", "Bad": planted.BAD_DOCKERFILE})
    checked = planted.CLEAN_DOCKERFILE + 'HEALTHCHECK CMD ["python", "-m", "serving.check"]\n'
    planted.write(folder, {"Clean": checked})
    broken = {"image.tar": folder / "broken.tar"}
    sources = {"submission": planted.bad_submission(folder / "bad"), "Dockerfile": folder / "Bad"}
    planted.write(folder / "bad", HIDING)
    clean = {"submission": planted.good_submission(folder / "good")}
    clean["Dockerfile"] = folder / "Clean"
    (folder / "empty").mkdir()
    nothing = {"submission": folder / "empty"}

    if "gitleaks" in chosen:
        for name, inputs in {"bad": sources, "clean": clean, "nothing": nothing}.items():
            record(gitleaks.SCANNER, name, inputs)
    if "dockle" in chosen:
        for name, inputs in {"bad": bad, "clean": good, "bare": bare, "broken": broken}.items():
            record(dockle.SCANNER, name, inputs)
    if "grype" in chosen:
        fresh, old = given.for_grype(folder / "g1"), given.for_grype(folder / "g2", OLD)
        record(grype.SCANNER, "bad", bad | fresh)
        record(grype.SCANNER, "clean", good | fresh)
        record(grype.SCANNER, "nothing", bare | fresh)
        record(grype.SCANNER, "broken", broken | fresh)
        record(grype.SCANNER, "old-database", bad | old)
        record(grype.SCANNER, "no-database", bad)
        record(grype.OF_BILL, "bill", given.bill(folder, bad["image.tar"]) | fresh)
    if "trivy" in chosen:
        fresh, old = given.for_trivy(folder / "t1"), given.for_trivy(folder / "t2", OLD)
        record(trivy.SCANNER, "bad", bad | fresh)
        record(trivy.SCANNER, "clean", good | fresh)
        record(trivy.SCANNER, "nothing", bare | fresh)
        record(trivy.SCANNER, "broken", broken | fresh)
        crash = {"image.tar": images.inconsistent(folder / "inconsistent.tar")}
        record(trivy.SCANNER, "crash", crash | fresh)
        record(trivy.SCANNER, "old-database", bad | old)
        record(trivy.SCANNER, "no-database", bad)
        for name, inputs in {"bad": sources, "clean": clean, "nothing": nothing}.items():
            record(trivy.FILES, name, inputs)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="mlifecycle-") as room:
        main(Path(room))
