"""Models over gold: what is estimated, and how it is judged."""
