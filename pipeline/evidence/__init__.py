"""Statements about what a run made: what they say can be checked by somebody else."""
