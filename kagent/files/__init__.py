"""Files: written beside, flushed and renamed; checked and bounded when they are read. No TensorFlow here."""
