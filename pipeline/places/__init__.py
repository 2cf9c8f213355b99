"""The two places where a release is made and brought into service: this machine, or containers."""
