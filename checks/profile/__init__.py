"""The profile of what is published, as facts, pictures and one HTML page."""
