"""Statistics and models over published gold."""
