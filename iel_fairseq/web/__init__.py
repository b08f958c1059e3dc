"""The page on which a translator can be tried."""
