"""The HTTP and WebSocket endpoints, each thin."""
