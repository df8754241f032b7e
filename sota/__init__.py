"""Architecture search in the spaces of the DARTS literature."""
