"""Zero-cost proxies and operation scoring: everything the search spaces share."""
