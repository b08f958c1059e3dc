"""Text classification on GLUE with important words (paper, sections 2.3, 2.4, 3.2; Algorithms 2 and 4)."""
