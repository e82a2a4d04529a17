"""The quickstart notebook, and how it is shown."""
