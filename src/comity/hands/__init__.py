"""The execution layer: what performs tools, outside any brain."""
