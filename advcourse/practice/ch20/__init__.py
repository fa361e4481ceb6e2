"""Chapter 20, "A model through its whole life": the cells to fill in, each in a file of its own."""
