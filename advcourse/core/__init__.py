"""The ground that every room stands on: checks of input, identity, randomness, files, workers, numbers as they are shown."""
