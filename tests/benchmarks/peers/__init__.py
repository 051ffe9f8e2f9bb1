"""The systems that we measure ourselves against, one module each."""
