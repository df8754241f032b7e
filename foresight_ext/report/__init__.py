"""A page about run folders: read as they are, without PyTorch, and drawn into one HTML file."""
