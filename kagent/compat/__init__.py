"""Words of other libraries, translated into kagent's own."""
