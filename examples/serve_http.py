"""A web service of a trained agent: the standard library, NumPy and `kagent.acting`; no TensorFlow.

    python examples/serve_http.py agent.keras --port 8000
    curl -d '{"observations": [[0.0, 0.1, 0.0, -0.1]]}' http://127.0.0.1:8000

It answers {"actions": [1]}, and a mistake with status 400 and what was wrong. Several requests at a time share one actor,
which takes them in turn. Behind a public address put a server that knows TLS and users in front of it.
"""

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

import kagent.acting

LARGEST = 1 << 24  # bytes of a request

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("file", help="a .keras file, or the folder of a saved actor")
parser.add_argument("--port", type=int, default=8000, help="0: any free one (default: %(default)s)")


def service(actor: kagent.acting.Actor, port: int) -> ThreadingHTTPServer:
    """A server that is ready for `serve_forever()`; its port is `server_port`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            try:
                length = min(int(self.headers["Content-Length"]), LARGEST)
                given = json.loads(self.rfile.read(length))
                actions = actor.act_batch(np.asarray(given["observations"], np.float32), masks=given.get("masks"))
                status, answer = 200, {"actions": actions.tolist()}
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                status, answer = 400, {"error": f"{type(error).__name__}: {error}"}
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def main() -> None:
    args = parser.parse_args()
    server = service(kagent.acting.load(args.file), args.port)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
