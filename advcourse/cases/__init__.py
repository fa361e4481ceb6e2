"""Attacks outside the computer: printed, worn and stuck on; each case in files of its own."""
