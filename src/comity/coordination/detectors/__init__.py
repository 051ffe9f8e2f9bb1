"""Detectors: one file for each kind of harm; `panel.py` holds a set of them, `surroundings.py` what they must know."""
