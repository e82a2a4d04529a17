"""Choosing among documents and writing the call.

What an administrator lays down for models reaches the processes that run them by the environment:
a Jupyter server sets it for its worker and its kernels.
"""

ALLOWED_MODELS = "GORILLA_ALLOWED_MODELS"
"""The environment variable with a JSON list of the models that may be used; any where it is not
set."""

ALLOWING = "GorillaExtension.allowed_models names more, where Jupyter's server is started."
"""What to do for a model that is not among them."""

CA_FILE = "GORILLA_CA_FILE"
"""The environment variable with the file of certificates that model servers are trusted by; the
usual ones where it is not set."""
