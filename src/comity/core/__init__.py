"""What everything may lean on: ids, errors, limits, codec, clock and entropy."""
