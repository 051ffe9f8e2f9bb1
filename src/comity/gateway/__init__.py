"""The gateway: two URLs make any agent durable."""
