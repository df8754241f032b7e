"""The NAS-Bench-201 space: 4 nodes, 6 edges, 5 operations, 15,625 architectures."""
