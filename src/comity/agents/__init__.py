"""What an author imports: agents, tools, the context of a task, and the brain's side of the protocol.

Names are resolved on first use. `comity` offers those that authors need.
"""
