"""Start the server: `python server.py --port 8888` is the command `gantt-tornado`."""

from gantt_tornado.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
