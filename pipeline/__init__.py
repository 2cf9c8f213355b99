"""A model manifest in; a governed, scanned, verified and catalogued model server out.

deploy takes a manifest all the way; validate, govern, lint, build, scan, sbom and render go part of
it. A no ends the call with exit code 1 and says why and what to do; evidence has all of it.

  dagger call deploy --manifest model-manifest.yaml
  dagger call --environment PROD --registry ghcr.io/acme/ml deploy --manifest m.yaml
  dagger call govern --manifest model-manifest.yaml summary
  dagger call scan --manifest model-manifest.yaml report --format SARIF -o scan.sarif
  dagger call serve --manifest model-manifest.yaml up --ports 8080:8000
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.functions import Mlifecycle as Mlifecycle

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # The engine's client takes over a second to import; the command line does without.
    if name == "Mlifecycle":
        from pipeline.functions import Mlifecycle

        return Mlifecycle
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
