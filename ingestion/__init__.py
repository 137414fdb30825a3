"""From bytes to bronze: sources, decode, contract check, landing."""
