"""Networks with choices in them: declared where they stand, searched, and built without the search."""
