"""What the two gates know of SQL: the parser's limits, names, calls and the scope of common table expressions."""
