"""The built page on a port of its own, in the place of nginx: ``python -m tests.support.page_server``."""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from relay.routes.page import PageFiles
from tests.support.process import ROOT, Process, stable_port, wait_until

PAGE_DIR = ROOT / "frontend" / "out"


class PageServer(Process):
    """Serves frontend/out; the page must have been built (``make page``)."""

    def __init__(self) -> None:
        assert (PAGE_DIR / "index.html").is_file(), "the page is not built: `make page` does it"
        self.port = stable_port()
        super().__init__([sys.executable, "-m", "tests.support.page_server", str(self.port)])

    def wait_until_ready(self) -> None:
        """Wait until it listens."""
        wait_until(lambda: "running on" in self.output, "the page's server")


if __name__ == "__main__":
    app = Starlette(routes=[Mount("/", PageFiles(directory=PAGE_DIR, html=True))])
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False)
