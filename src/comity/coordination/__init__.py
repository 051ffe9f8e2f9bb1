"""Coordination: a shared world of resources and invariants, admission of every touch, detectors, the causal map."""
