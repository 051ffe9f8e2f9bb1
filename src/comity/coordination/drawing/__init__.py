"""Drawing: answers of the map as one description of a picture, and that as text, JSON, DOT, SVG or PNG."""
