"""Chapter 01, why adversarial examples exist: the cells to fill in, each in a file of its own."""
