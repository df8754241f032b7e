"""NAS-Bench-Macro: a chain of 8 layers of 3 candidates each, all 6,561 networks of which were trained."""
