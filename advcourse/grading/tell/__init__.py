"""What came of it: reports, pages for student and class, tables, gradebooks."""
