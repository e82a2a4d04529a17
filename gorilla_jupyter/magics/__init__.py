"""IPython: ``%gorilla`` and its companions."""
