"""The state of one plan on the event loop, and who listens to it."""
