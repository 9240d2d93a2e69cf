"""Whether a backend keeps the rules of docs/protocol.md, seen from outside."""
