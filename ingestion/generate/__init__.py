"""The deterministic market generator: same plan, same bytes."""
