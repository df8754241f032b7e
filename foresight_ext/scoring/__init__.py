"""Many networks of a space, each scored alone by zero-cost proxies: the run, its scores, how they rank."""
