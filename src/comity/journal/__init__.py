"""The only shared language: entries, values, ports, segments, recall."""
