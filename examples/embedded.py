"""A plan inside an application of one's own, at /gantt, behind that application's sign-in.

    python examples/embedded.py --port 8889

Alice may edit, Bob may look, and whoever is not signed in is sent to the sign-in. The
backend never sees a password: it asks :func:`who` about each request and socket.
"""

import argparse
import asyncio
import secrets
from pathlib import Path

from tornado import web

from gantt_tornado import Backend, Config, Role, User, routes

PEOPLE = {"alice": Role.editor, "bob": Role.viewer}


class SignIn(web.RequestHandler):
    """Stands for the sign-in that your application has."""

    def get(self) -> None:
        self.write(
            '<form method="post"><label>Name <input name="name"></label> '
            "<button>Sign in</button> (alice edits, bob looks)</form>"
        )

    def post(self) -> None:
        name = self.get_body_argument("name")
        if name not in PEOPLE:
            raise web.HTTPError(403)
        self.set_signed_cookie("name", name, httponly=True, samesite="Strict")
        self.redirect("/gantt/")


class Home(web.RequestHandler):
    """A page of your own, to which the sign-in and the plan are neighbours."""

    def get(self) -> None:
        self.redirect("/gantt/" if who(self) else "/sign-in")


def who(handler: web.RequestHandler) -> User | None:
    """The user behind a request, by this application's own cookie."""
    name = (handler.get_signed_cookie("name") or b"").decode()
    return User(name, PEOPLE[name]) if name in PEOPLE else None


def make_app(backend: Backend) -> web.Application:
    """This application, with the plan among its routes."""
    own = [("/", Home), ("/sign-in", SignIn)]
    return web.Application(
        [*own, *routes(backend, prefix="/gantt")], cookie_secret=secrets.token_hex(32)
    )


async def main(port: int, database: Path) -> None:
    config = Config(database=f"sqlite:///{database}")
    async with Backend(config, authenticate=who) as backend:
        backend.on_change(lambda change: print(change.author.user, change.action, change.id))
        server = make_app(backend).listen(port, "127.0.0.1")
        try:
            await asyncio.Event().wait()
        finally:
            server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8889)
    parser.add_argument("--database", type=Path, default=Path("embedded.db"))
    options = parser.parse_args()
    asyncio.run(main(options.port, options.database))
