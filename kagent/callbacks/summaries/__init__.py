"""What a `kagent.callbacks.Summarizer` writes: the labels, and the values behind each of them, computed on the host."""
