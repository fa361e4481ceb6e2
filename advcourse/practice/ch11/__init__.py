"""Chapter 11, "Programs, not pixels": the cells to fill in, each in a file of its own."""
