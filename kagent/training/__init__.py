"""What happens over time: environments are stepped, experience is stored, updates become due.

`kagent.training.collector` imports no TensorFlow, so nothing is imported here.
"""
