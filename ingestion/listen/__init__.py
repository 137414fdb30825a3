"""The WebSocket listener: clients send records, and hear back when they are durable."""
