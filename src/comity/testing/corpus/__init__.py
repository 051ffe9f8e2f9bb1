"""Labelled traces of what happens in a world: harm and its benign twins, modelled after histories, none tuned."""

from comity.testing.corpus.catalog import FAMILIES, REPORTED, TUNING, Family, trace, traces
from comity.testing.corpus.script import FieldFacts, Rule, Setting, Trace

__all__ = ["FAMILIES", "REPORTED", "TUNING", "Family", "FieldFacts", "Rule", "Setting", "Trace", "trace", "traces"]
