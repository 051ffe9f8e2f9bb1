"""Upstream models: the `Model` port, the clients and the wire formats behind it."""
