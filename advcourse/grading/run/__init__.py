"""Run answers in the sandbox, and judge them outside of it."""
