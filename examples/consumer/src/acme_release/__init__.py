"""How one team releases a model: the pipeline's build, a test of the team's own, scan, publication.

  dagger call -m examples/consumer --source . release --manifest model-manifest.yaml \
      --address ghcr.io/acme-bank/fraud-detector
"""

from acme_release.release import AcmeRelease as AcmeRelease
