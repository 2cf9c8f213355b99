"""What computes: a lane is one way to run the release's model."""
