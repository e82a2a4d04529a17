"""The Jupyter server extension: what an administrator sets, and nothing that takes time."""

from __future__ import annotations

import json
import os

from jupyter_server.extension.application import ExtensionApp
from traitlets import Float, Integer, List, Unicode

from gorilla_jupyter.model import ALLOWED_MODELS, CA_FILE
from gorilla_jupyter.server import routes
from gorilla_jupyter.server.supervisor import Supervisor


class GorillaExtension(ExtensionApp):
    """Gorilla's REST interface under ``/gorilla``."""

    name = "gorilla_jupyter"

    model = Unicode(
        "embedded",
        help="The model that answers requests which name none: 'embedded', 'hf:ID-OR-FOLDER', "
        "'onnx:FOLDER' or 'openai:BASE_URL#MODEL'.",
    ).tag(config=True)
    allowed_models = List(
        Unicode(), help="Further models that requests may name; 'model' always may be."
    ).tag(config=True)
    ca_file = Unicode(
        "",
        help="The certificates, as a file of PEM blocks, that model servers are trusted by; empty "
        "for the usual ones.",
    ).tag(config=True)
    index_folder = Unicode(
        "",
        help="Where the search index is kept; empty for the user's cache folder. "
        "Nobody else may be able to write there.",
    ).tag(config=True)
    catalog_folder = Unicode(
        "",
        help="Where the server reads added catalogs; empty for the user's data folder. Commands "
        "and kernels write to that folder, which the environment variable GORILLA_HOME moves.",
    ).tag(config=True)
    max_candidates = Integer(
        20, min=1, max=20, help="The most candidates that a request may ask for."
    ).tag(config=True)
    max_documents = Integer(
        200, min=1, max=200, help="The most documents that a request or a search may ask for."
    ).tag(config=True)
    max_body_bytes = Integer(1 << 20, min=1, help="The longest request body, in bytes.").tag(
        config=True
    )
    queue_size = Integer(
        100,
        min=1,
        help="How many requests may wait for the engine. When there are more, whoever has most of "
        "them waiting is refused with 503.",
    ).tag(config=True)
    request_seconds = Float(
        300.0,
        min=0.1,
        help="How long a request may take, in seconds, from its turn on, without the time that a "
        "model on this machine has others to answer before it. "
        "Jobs that only index have no limit.",
    ).tag(config=True)
    idle_seconds = Float(
        900.0,
        min=0.0,
        help="How long the engine's process is kept while nobody asks, in seconds. "
        "Then it ends, which frees its memory; the next request starts it. 0 keeps it.",
    ).tag(config=True)

    def initialize_settings(self) -> None:
        # The worker and the kernels inherit what is laid down here.
        os.environ[ALLOWED_MODELS] = json.dumps(self.models())
        if self.ca_file:
            os.environ[CA_FILE] = self.ca_file
        options = ["--model", self.model]
        for option, folder in (
            ("--index-folder", self.index_folder),
            ("--catalog-folder", self.catalog_folder),
        ):
            if folder:
                options += [option, folder]
        self.supervisor = Supervisor(
            options,
            queue_size=self.queue_size,
            request_seconds=self.request_seconds,
            idle_seconds=self.idle_seconds,
            log=self.log,
        )

    def initialize_handlers(self) -> None:
        self.handlers.extend(routes.HANDLERS)

    async def stop_extension(self) -> None:
        await self.supervisor.close()

    def models(self) -> list[str]:
        """The models that a request may name, the configured one first."""
        return list(dict.fromkeys([self.model, *self.allowed_models]))

    def limits(self) -> dict[str, int]:
        """The most that a request may ask for, by field."""
        return {"candidates": self.max_candidates, "documents": self.max_documents}
