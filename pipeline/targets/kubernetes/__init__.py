"""A cluster as a place that releases are deployed to."""
