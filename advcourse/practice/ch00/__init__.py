"""Chapter 00, "Start here": the cells to fill in, each in a file of its own."""
