"""Causality: what the map keeps of what happened, and how each of its questions is answered."""
