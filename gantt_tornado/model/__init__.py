"""The data of a plan, pure: no socket, no SQL, no loop."""
