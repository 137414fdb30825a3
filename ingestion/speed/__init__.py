"""Candles while records land: watermarked, rebuilt from bronze, never in the way of landing."""
