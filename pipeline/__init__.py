"""mlifecycle: a model manifest in, a governed, verified and catalogued model server out."""

__version__ = "0.1.0"
