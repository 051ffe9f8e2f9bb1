"""Coordination wired: the gate *admit*, the writers of components, their rows, and what they follow."""
