"""Compare foreign implementations with the reference."""
