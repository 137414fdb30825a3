"""What a failed flow tells the desk: what failed, why most likely, and what to type next."""
