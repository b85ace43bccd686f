"""The torch benchmark that measures latency profiles: the only place that imports torch or diffusers."""
