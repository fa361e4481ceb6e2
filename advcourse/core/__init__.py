"""What every other package builds on: input checks, identity, randomness, files, workers, and how numbers are printed."""
