"""Chapter 02, "One step": the cells to fill in, each in a file of its own."""
