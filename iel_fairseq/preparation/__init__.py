"""Raw parallel text to a fairseq data folder, and back to raw text (paper, section 5.1)."""
