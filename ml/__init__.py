"""Models of markets over published gold."""
