"""The composition root: the only place where engines meet processes."""
