"""Report the results: reports, pages for students and instructors, tables, gradebooks."""
