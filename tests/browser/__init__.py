"""The released client in a real browser, in several tabs, against a real server."""
