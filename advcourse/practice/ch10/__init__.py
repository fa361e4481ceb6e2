"""Chapter 10, "Road signs": the cells to fill in, each in a file of its own."""
