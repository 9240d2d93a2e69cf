"""JSON Web Tokens: whom they stand for, once their signature and claims have been checked.

Which algorithm is allowed follows from the kind of our key, never from the token: else a token
signed with HS256 and our public key as the secret would be taken for one of the issuer's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gantt_tornado.config import Jwt
from gantt_tornado.errors import Refused, StartError
from gantt_tornado.model.user import COLOR, User, role_named, roles

try:
    import jwt
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    IS_INSTALLED = True
except ImportError:
    IS_INSTALLED = False

#: Characters of a token, and of a name in it.
LONGEST: Final = 8 << 10
LONGEST_NAME: Final = 200
#: Bytes that a secret of HS256 and an RSA key's modulus need at least (RFC 7518, section 3).
SHORTEST_SECRET: Final = 32
SHORTEST_RSA: Final = 256
#: Seconds by which the issuer's clock may be ahead of ours.
LEEWAY: Final = 5
_REQUIRED: Final = ("exp", "aud", "sub")


@dataclass(frozen=True, slots=True)
class _Key:
    """A key with the algorithm of its kind."""

    id: str
    algorithm: str
    key: Any


class JsonWebTokens:
    """Checks tokens by the keys of the configuration.

    Raises:
        StartError: the library is missing, or a key cannot be used.
    """

    def __init__(self, config: Jwt) -> None:
        self._config = config
        if not IS_INSTALLED:
            raise StartError("[jwt] is configured: pip install 'gantt-tornado[jwt]' is needed")
        self._keys = tuple(_usable(_keys(config), config))

    def verify(self, token: str) -> User:
        """The user whom a token stands for.

        Raises:
            Refused: it is not signed by one of our keys, not meant for us, too early, too late,
                or says what no user can be.
        """
        if len(token) > LONGEST:
            raise Refused(f"longer than {LONGEST} characters")
        try:
            claims = self._claims(token)
            return self._user(claims)
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
            raise Refused(f"{type(error).__name__}: {error}") from None

    def _claims(self, token: str) -> dict[str, Any]:
        key = self._key(jwt.get_unverified_header(token).get("kid"))
        claims: dict[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=[key.algorithm],
            audience=self._config.audience,
            issuer=self._config.issuer or None,
            leeway=LEEWAY,
            options={"require": list(_REQUIRED)},
        )
        return claims

    def _key(self, id: Any) -> _Key:
        if len(self._keys) == 1 and not (id and self._keys[0].id):
            return self._keys[0]
        for key in self._keys:
            if key.id == id:
                return key
        raise Refused("its kid names none of our keys")

    def _user(self, claims: Mapping[str, Any]) -> User:
        name = _text(claims, "sub")
        if not name:
            raise Refused("an empty sub")
        stated = _text(claims, "role") or self._config.role
        projects = claims.get("projects", [])
        role, named = roles(role_named(stated) if stated else None, _entries(projects))
        if projects in ([], {}) and "projects" in claims:
            # It states that there are none, which is not the same as stating nothing.
            role = None
        if role is None and not named:
            raise Refused("it states no role")
        color = _text(claims, "color")
        if not COLOR.fullmatch(color):
            color = ""
        # Also a fraction of a second: the library would cut it.
        return User(name, role, named, _text(claims, "name"), color, expires=float(claims["exp"]))


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name, "")
    if not isinstance(value, str) or len(value) > LONGEST_NAME or not _is_printable(value):
        raise Refused(f"{name} is no text, or too long")
    return value


def _is_printable(value: str) -> bool:
    return not value or value.isprintable()


def _entries(projects: Any) -> list[str]:
    """``["bridge"]`` or ``{"bridge": "viewer"}`` as the configuration writes it."""
    if isinstance(projects, dict):
        projects = [f"{project}:{role}" for project, role in projects.items()]
    if not isinstance(projects, list) or not all(isinstance(each, str) for each in projects):
        raise Refused("projects is neither a list of names nor an object of roles")
    return projects


# Keys.


def _keys(config: Jwt) -> Iterator[_Key]:
    if not config.jwks:
        yield _pem_or_secret(config.key)
        return
    try:
        found = json.loads(Path(config.jwks).read_text("utf-8"))["keys"]
        yield from [_of_set(each) for each in found if _is_for_us(each)]
    except OSError as error:
        raise StartError(f"cannot read the keys {config.jwks}: {error.strerror}") from None
    except (ValueError, LookupError, TypeError, AttributeError, jwt.PyJWTError) as error:
        raise StartError(f"cannot read the keys {config.jwks}: {error}") from None


def _is_for_us(each: Mapping[str, Any]) -> bool:
    """Whether a key of a set signs by an algorithm of ours; sets have others too."""
    algorithm = _ALGORITHMS.get((each["kty"], each.get("crv", "")))
    return (
        each.get("use", "sig") == "sig"
        and algorithm is not None
        and each.get("alg", algorithm) == algorithm
    )


def _pem_or_secret(text: str) -> _Key:
    if "-----BEGIN" not in text:
        return _secret("", text.encode())
    try:
        return _public("", load_pem_public_key(text.encode()))
    except ValueError:
        raise StartError("bad configuration: jwt.key is no public key in PEM") from None


def _of_set(each: Mapping[str, Any]) -> _Key:
    id = str(each.get("kid", ""))
    key: Any = jwt.PyJWK(dict(each), _ALGORITHMS[each["kty"], each.get("crv", "")]).key
    return _secret(id, key) if isinstance(key, bytes) else _public(id, key)


#: By the type of a key and its curve.
_ALGORITHMS: Final[Mapping[tuple[str, str], str]] = {
    ("oct", ""): "HS256",
    ("RSA", ""): "RS256",
    ("EC", "P-256"): "ES256",
}


def _secret(id: str, secret: bytes) -> _Key:
    if len(secret) < SHORTEST_SECRET:
        raise StartError(
            f"bad configuration: a secret of jwt has fewer than {SHORTEST_SECRET} bytes"
        )
    return _Key(id, "HS256", secret)


def _public(id: str, key: Any) -> _Key:
    if isinstance(key, RSAPublicKey) and key.key_size >= 8 * SHORTEST_RSA:
        return _Key(id, "RS256", key)
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return _Key(id, "ES256", key)
    raise StartError(
        "bad configuration: a key of jwt is none that can be used: a public RSA key of at least "
        f"{8 * SHORTEST_RSA} bits, or one of the curve P-256"
    )


def _usable(keys: Iterator[_Key], config: Jwt) -> Iterator[_Key]:
    """The keys whose algorithm the configuration allows.

    Raises:
        StartError: there is none.
    """
    found = [key for key in keys if not config.algorithms or key.algorithm in config.algorithms]
    if not found:
        raise StartError("bad configuration: no key of jwt is for one of jwt.algorithms")
    if len({key.id for key in found}) < len(found):
        raise StartError("bad configuration: two keys of jwt have the same kid")
    yield from found
