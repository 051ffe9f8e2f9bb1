"""HTTP: the API, its documents, operators' tokens, health and metrics, in the node's own event loop."""
