"""In every user's server, as /etc/jupyter/jupyter_server_config.py: which models may be asked."""

c = get_config()  # noqa: F821

c.GorillaExtension.model = "openai:https://vllm.example.org:8000/v1#gorilla"
c.GorillaExtension.allowed_models = ["embedded"]
# The certificate that vllm.example.org shows, or that of the authority that issued it.
c.GorillaExtension.ca_file = "/etc/jupyter/vllm-certificate.pem"
# As long as two answers of the model may take; how many may wait in one user's server.
c.GorillaExtension.request_seconds = 300
c.GorillaExtension.queue_size = 20
# The engine's process ends when its user has not asked for ten minutes.
c.GorillaExtension.idle_seconds = 600
