"""Policies: what a document means, who may see what, and the SQL that shows exactly that.

The journey inside: a mapping becomes a `Policy` (documents), Cedar says which policies match (cedar), `decide` turns the
matches into a `Ruling`, its `Shape` is compiled to a view (compiler) and defined row by row (evaluator). Imports nothing of
the house.
"""
