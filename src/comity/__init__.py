"""Comity: the kernel for fleets of AI agents."""
