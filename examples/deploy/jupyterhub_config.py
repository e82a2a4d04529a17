"""For JupyterHub: what the users' servers get, beside what your hub is set to already."""

import os

c = get_config()  # noqa: F821

# Taken from the hub's own environment. Named after the host in jupyter_server_config.py.
c.Spawner.environment = {"GORILLA_KEY_VLLM_EXAMPLE_ORG": os.environ["GORILLA_KEY_VLLM_EXAMPLE_ORG"]}
# Files in a user's home must not outrank /etc/jupyter/jupyter_server_config.py.
c.Spawner.disable_user_config = True
