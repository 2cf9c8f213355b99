"""`python -m pipeline` is `mlifecycle`."""

from pipeline.cli import main

if __name__ == "__main__":
    main()
