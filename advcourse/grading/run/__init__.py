"""Running answers in the sandbox, and judging them outside of it."""
