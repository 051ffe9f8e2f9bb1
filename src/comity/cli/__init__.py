"""The command line: every word a person types to Comity, and every line it answers."""
