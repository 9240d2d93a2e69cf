from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from gantt_tornado import json_web_tokens
from gantt_tornado.config import Jwt
from gantt_tornado.errors import Refused, StartError
from gantt_tornado.json_web_tokens import JsonWebTokens
from gantt_tornado.model.user import Role, User

SECRET = "a secret of thirty-two bytes, or more"
RSA = rsa.generate_private_key(65537, 2048)
OTHER_RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
CLAIMS = {"sub": "ann", "role": "editor", "aud": "plan", "exp": 4_000_000_000}


def pem(key: Any) -> str:
    public: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return public.decode()


def sign(key: Any = SECRET, algorithm: str = "HS256", kid: str = "", **claims: Any) -> str:
    stated = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    return jwt.encode(stated, key, algorithm, headers={"kid": kid} if kid else None)


def checks(key: str = SECRET, **more: Any) -> JsonWebTokens:
    return JsonWebTokens(Jwt(key=key, audience="plan", **more))


def raw(header: object, claims: object, key: bytes = b"") -> str:
    """A token of any header, signed with HMAC and ``key``."""
    parts = [json.dumps(each) if not isinstance(each, str) else each for each in (header, claims)]
    signed = ".".join(encoded(part.encode()) for part in parts)
    return f"{signed}.{encoded(hmac.new(key, signed.encode(), hashlib.sha256).digest())}"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def refusal(token: str, checking: JsonWebTokens | None = None) -> str:
    with pytest.raises(Refused) as refused:
        (checking or checks()).verify(token)
    return str(refused.value)


# Whom they stand for.


@pytest.mark.parametrize(
    "ours, theirs, algorithm",
    [(SECRET, SECRET, "HS256"), (pem(RSA), RSA, "RS256"), (pem(EC), EC, "ES256")],
)
def test_a_token_stands_for_its_subject(ours: str, theirs: Any, algorithm: str) -> None:
    user = checks(ours).verify(sign(theirs, algorithm, name="Ann Lee"))
    assert user == User("ann", Role.editor, display="Ann Lee")
    assert user.expires == 4_000_000_000


@pytest.mark.parametrize(
    "projects, expected",
    [
        (["bridge", "tunnel:viewer"], {"bridge": Role.editor, "tunnel": Role.viewer}),
        ({"bridge": "admin"}, {"bridge": Role.admin}),
    ],
)
def test_projects_are_a_list_or_an_object(projects: object, expected: object) -> None:
    user = checks().verify(sign(projects=projects))
    assert (user.role, user.projects) == (None, expected)


@pytest.mark.parametrize("projects", [[], {}])
def test_who_is_in_no_project_may_do_nothing(projects: object) -> None:
    assert "no role" in refusal(sign(projects=projects))


def test_without_a_role_a_token_is_refused() -> None:
    assert "no role" in refusal(sign(role=None))


def test_the_configuration_may_name_the_role_of_tokens_without_one() -> None:
    checking = checks(role="viewer")
    assert checking.verify(sign(role=None)).role == Role.viewer
    assert checking.verify(sign()).role == Role.editor


# Attacks.


def test_the_algorithm_none_is_refused() -> None:
    for name in ("none", "None", "NONE"):
        token = raw({"alg": name, "typ": "JWT"}, CLAIMS)
        refusal(token)
        refusal(token.rpartition(".")[0] + ".")


def test_a_public_key_is_no_secret() -> None:
    text = pem(RSA)
    for key in (text, text.strip(), text.replace("\n", "")):
        refusal(raw({"alg": "HS256", "typ": "JWT"}, CLAIMS, key.encode()), checks(text))


def test_the_key_of_another_issuer_is_refused() -> None:
    refusal(sign(OTHER_RSA, "RS256"), checks(pem(RSA)))


def test_a_key_that_comes_with_the_token_is_not_used() -> None:
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(OTHER_RSA.public_key()))
    for header in ({"jwk": jwk}, {"jku": "https://evil.example/keys"}, {"x5u": "https://evil"}):
        refusal(jwt.encode(CLAIMS, OTHER_RSA, "RS256", headers=header), checks(pem(RSA)))


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_another_algorithm_of_the_same_key_is_refused(algorithm: str) -> None:
    refusal(sign(SECRET * 2, algorithm), checks(SECRET * 2))


def test_what_was_changed_after_it_was_signed_is_refused() -> None:
    head, _, signature = sign().split(".")
    refusal(f"{head}.{encoded(json.dumps(CLAIMS | {'role': 'admin'}).encode())}.{signature}")


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "other"},
        {"aud": None},
        {"aud": []},
        {"aud": ["other"]},
        {"exp": None},
        {"exp": 1},
        {"exp": "soon"},
        {"exp": True},
        {"exp": [4_000_000_000]},
        {"nbf": 3_000_000_000},
        {"iat": 3_000_000_000},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": ["ann"]},
        {"sub": {"name": "ann"}},
        {"sub": "a" * 201},
        {"sub": "ann\nbob"},
        {"role": "king"},
        {"role": 3},
        {"role": ["admin"]},
        {"projects": "bridge"},
        {"projects": [7]},
        {"projects": ["Bridge"]},
        {"projects": {"bridge": 3}},
        {"projects": {"bridge": "king"}},
        {"name": 7},
    ],
)
def test_wrong_claims_are_refused(claims: dict[str, object]) -> None:
    # By hand, because the library does not sign all of these.
    stated = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    refusal(raw({"alg": "HS256"}, stated, SECRET.encode()))


def test_another_issuer_is_refused_where_one_is_configured() -> None:
    checking = checks(issuer="https://sign-in.example")
    assert checking.verify(sign(iss="https://sign-in.example")).name == "ann"
    for issuer in (None, "https://evil.example"):
        refusal(sign(iss=issuer), checking)


def test_one_of_several_audiences_is_enough() -> None:
    assert checks().verify(sign(aud=["other", "plan"])).name == "ann"


def test_the_issuers_clock_may_be_a_little_ahead() -> None:
    assert checks().verify(sign(nbf=time.time() + 2)).name == "ann"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "..",
        "a.b.c",
        "\ud800.é.x",
        raw("[" * 5000, CLAIMS, SECRET.encode()),
        raw({"alg": "HS256"}, "[" * 5000, SECRET.encode()),
        raw({"alg": "HS256"}, "7", SECRET.encode()),
        raw("[]", CLAIMS, SECRET.encode()),
        raw({"alg": ["HS256"]}, CLAIMS, SECRET.encode()),
        raw({"alg": "HS256", "kid": 7}, CLAIMS, SECRET.encode()),
        raw({"alg": "HS256", "crit": ["x"], "x": 1}, CLAIMS, SECRET.encode()),
        raw({"alg": "HS256"}, '{"sub":"ann","aud":"plan","exp":1e999}', SECRET.encode()),
        raw({"alg": "HS256"}, '{"sub":"ann","aud":"plan","exp":NaN}', SECRET.encode()),
    ],
)
def test_what_is_no_token_is_refused(token: str) -> None:
    refusal(token)


def test_a_huge_token_is_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwt, "get_unverified_header", None)
    assert "longer than" in refusal(sign(pad="x" * 8192))


# Keys.


def jwk(key: Any, kid: str, **more: str) -> dict[str, Any]:
    kind = (
        jwt.algorithms.RSAAlgorithm
        if hasattr(key, "p") or isinstance(key, rsa.RSAPrivateKey)
        else jwt.algorithms.ECAlgorithm
    )
    made: dict[str, Any] = json.loads(kind.to_jwk(key.public_key()))
    return made | {"kid": kid} | more


@pytest.fixture
def jwks(tmp_path: Path) -> Any:
    """Writes a set of keys, and checks by it."""

    def jwks(*keys: dict[str, Any], **more: Any) -> JsonWebTokens:
        path = tmp_path / "keys.json"
        path.write_text(json.dumps({"keys": keys}))
        return JsonWebTokens(Jwt(jwks=str(path), audience="plan", **more))

    return jwks


def test_a_set_has_a_key_by_its_id(jwks: Any) -> None:
    checking = jwks(jwk(RSA, "a"), jwk(EC, "b"))
    assert checking.verify(sign(RSA, "RS256", "a")).name == "ann"
    assert checking.verify(sign(EC, "ES256", "b")).name == "ann"
    for other in (sign(RSA, "RS256", "b"), sign(RSA, "RS256", "c"), sign(RSA, "RS256")):
        refusal(other, checking)


def test_the_only_key_of_a_set_needs_no_id(jwks: Any) -> None:
    assert jwks(jwk(RSA, "a")).verify(sign(RSA, "RS256")).name == "ann"


def test_a_public_key_of_a_set_is_no_secret(jwks: Any) -> None:
    checking = jwks(jwk(RSA, "a"), {"kty": "oct", "kid": "b", "k": encoded(SECRET.encode())})
    assert checking.verify(sign(kid="b")).name == "ann"
    token = raw({"alg": "HS256", "kid": "a"}, CLAIMS, pem(RSA).encode())
    refusal(token, checking)


def test_keys_of_a_set_that_are_for_something_else_are_left_out(jwks: Any) -> None:
    for other in ({"use": "enc"}, {"alg": "RS512"}):
        checking = jwks(jwk(EC, "b"), jwk(RSA, "a", **other))
        refusal(sign(RSA, "RS256", "a"), checking)


def test_algorithms_may_be_left_out(jwks: Any) -> None:
    checking = jwks(jwk(RSA, "a"), jwk(EC, "b"), algorithms=["ES256"])
    assert checking.verify(sign(EC, "ES256", "b")).name == "ann"
    refusal(sign(RSA, "RS256", "a"), checking)


def private() -> str:
    text: bytes = RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text.decode()


@pytest.mark.parametrize(
    "key, told",
    [
        ("short", "fewer than 32 bytes"),
        ("-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----", "no public key"),
        (pem(rsa.generate_private_key(65537, 1024)), "2048 bits"),
        (pem(ec.generate_private_key(ec.SECP384R1())), "P-256"),
        (private(), "no public key"),
    ],
)
def test_a_key_that_is_not_safe_stops_the_start(key: str, told: str) -> None:
    with pytest.raises(StartError, match=told):
        checks(key)


def test_a_key_of_another_kind_than_the_algorithms_stops_the_start() -> None:
    with pytest.raises(StartError, match="algorithms"):
        checks(pem(RSA), algorithms=["HS256"])


def test_two_keys_of_one_id_stop_the_start(jwks: Any) -> None:
    with pytest.raises(StartError, match="same kid"):
        jwks(jwk(RSA, "a"), jwk(EC, "a"))


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"keys":7}', '{"keys":[7]}'])
def test_a_set_that_cannot_be_read_stops_the_start(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "keys.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(StartError, match=r"keys\.json"):
        JsonWebTokens(Jwt(jwks=str(path), audience="plan"))


def test_a_set_without_a_key_for_us_stops_the_start(jwks: Any) -> None:
    with pytest.raises(StartError, match="no key"):
        jwks()


def test_without_the_library_the_start_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_web_tokens, "IS_INSTALLED", False)
    with pytest.raises(StartError, match=r"pip install 'gantt-tornado\[jwt\]'"):
        checks()
