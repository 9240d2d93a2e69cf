"""HTTP and WebSocket, on Tornado."""
