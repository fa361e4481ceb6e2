"""Chapter 08, "Phone camera": the cells to fill in, each in a file of its own."""
