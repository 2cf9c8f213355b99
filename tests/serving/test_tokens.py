"""Signed tokens: the right one lets in, and every way to forge or stretch one does not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import threading
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from serving.access import tokens
from serving.access.gate import BadToken
from serving.access.refreshed import Refreshed
from serving.access.tokens import Demands, Tokens, fetchable, of_url, reader
from serving.errors import InvalidKeys

RSA = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
NOW = time.time()


def public(key, kid, **more):
    kind = {rsa.RSAPrivateKey: RSAAlgorithm, ed25519.Ed25519PrivateKey: OKPAlgorithm}
    chosen = next((kind[k] for k in kind if isinstance(key, k)), ECAlgorithm)
    return {**json.loads(chosen.to_jwk(key.public_key())), "kid": kid, **more}


JWKS = {"keys": [public(RSA, "r"), public(EC, "e"), public(ED, "d")]}
CLAIMS = {"iss": "https://issuer", "aud": "model", "sub": "billing", "exp": NOW + 600}


def checked(jwks=JWKS, algorithms=("RS256", "ES256", "EdDSA"), **demands):
    source = Refreshed("keys", lambda: json.dumps(jwks).encode(), reader(algorithms), 60, 60)
    source.load()
    wanted = {"issuer": "https://issuer", "audience": "model", "leeway": 5.0, "caller": "sub"}
    return Tokens(Demands(algorithms=algorithms, **(wanted | demands)), source)


def signed(key=RSA, kid="r", algorithm="RS256", headers=None, **claims):
    payload = {k: v for k, v in (CLAIMS | claims).items() if v is not None}
    return jwt.encode(payload, key, algorithm, headers={"kid": kid} | (headers or {})).encode()


def part(value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=")


@pytest.mark.parametrize(
    ("key", "kid", "algorithm"), [(RSA, "r", "RS256"), (EC, "e", "ES256"), (ED, "d", "EdDSA")]
)
def test_a_token_of_the_issuer_names_its_caller_again_and_again(key, kid, algorithm):
    found = checked()
    token = signed(key, kid, algorithm)
    assert [found.owner(token, NOW) for _ in range(3)] == ["billing"] * 3
    assert found.owner(signed(aud=["other", "model"]), NOW) == "billing"
    assert checked(caller="azp").owner(signed(azp="robot"), NOW) == "robot"


def unsigned():
    return part({"alg": "none", "kid": "r", "typ": "JWT"}) + b"." + part(CLAIMS) + b"."


def with_public_key_as_secret():
    """Signed with HS256, for which a careless checker takes the public key as the secret."""
    secret = RSA.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    text = part({"alg": "HS256", "kid": "r"}) + b"." + part(CLAIMS)
    return text + b"." + part(hmac.new(secret, text, hashlib.sha256).digest())


def changed():
    head, _, signature = signed().split(b".")
    return head + b"." + part(CLAIMS | {"sub": "root"}) + b"." + signature


def without_kid():
    return jwt.encode(CLAIMS, RSA, "RS256").encode()


def own_key():
    """A token that brings the key it wants to be looked at with."""
    return signed(OTHER, headers={"jwk": public(OTHER, "r")})


@pytest.mark.parametrize(
    "token",
    [
        b"", b"x", b"a.b.c", b"\xff.\xff.\xff", b"." * 9000, b"a" * 9000, part(b"[") + b".." ,
        unsigned(), unsigned().replace(part({"alg": "none", "kid": "r", "typ": "JWT"}),
                                       part({"alg": "NonE", "kid": "r"})),
        with_public_key_as_secret(), changed(), own_key(),
        signed(OTHER), signed(kid="unknown"), signed(kid="e"), without_kid(),
        signed(algorithm="RS512"), signed(algorithm="PS256"), signed(EC, "r", "ES256"),
        signed(exp=NOW - 60), signed(exp=None), signed(exp="never"), signed(nbf=NOW + 600),
        signed(iss="https://other"), signed(iss=None), signed(aud="other"), signed(aud=None),
        signed(sub=None), signed(sub=""), signed(sub=" "), signed(sub="a\nb"), signed(sub="é"),
        signed(sub="x" * 201), signed(headers={"crit": ["exp"]}),
        signed(headers={"crit": ["b64"], "b64": False}),
    ],
)  # fmt: skip
def test_every_other_token_is_refused_and_not_remembered(token):
    found = checked()
    for _ in range(2):
        with pytest.raises(BadToken):
            found.owner(token, NOW)
    assert not found._known


def test_a_remembered_token_ends_on_time_and_with_its_key():
    now = time.time()
    found = checked()
    token = signed(exp=int(now) + 60)
    found.owner(token, now)
    looked_at = []
    examined = found._examined
    found._examined = lambda *call: looked_at.append(1) or examined(*call)
    found.owner(token, now + 64)
    assert not looked_at
    found.owner(token, now + 66)  # by the library's clock it is still good
    assert looked_at
    fresh = signed()
    found.owner(fresh, now)
    found._keys.value = reader(("RS256",))(json.dumps({"keys": [public(OTHER, "r")]}).encode())
    with pytest.raises(BadToken):
        found.owner(fresh, now)


def test_only_so_many_are_remembered(monkeypatch):
    monkeypatch.setattr(tokens, "_REMEMBERED", 3)
    found = checked()
    for number in range(6):
        found.owner(signed(jti=str(number)), NOW)
    assert len(found._known) == 3


def test_without_keys_nobody_is_let_in():
    found = checked()
    token = signed()
    found.owner(token, NOW)
    found._keys.value = None
    assert not found.usable
    with pytest.raises(BadToken):
        found.owner(token, NOW)


@pytest.mark.parametrize(
    "jwks",
    [
        None, [], {}, {"keys": None}, {"keys": {}}, {"keys": []}, {"keys": [1]},
        {"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "r", "alg": "HS256"}]},
        {"keys": [public(RSA, None)]}, {"keys": [public(RSA, "r", use="enc")]},
        {"keys": [public(RSA, "r", key_ops=["encrypt"])]},
        {"keys": [public(RSA, "r", alg="PS256")]},
        {"keys": [public(rsa.generate_private_key(65537, 1024), "r")]},  # noqa: S505 - too short
        {"keys": [public(EC, "e")]}, {"keys": [{**public(RSA, "r"), "n": "!"}]},
    ],
)  # fmt: skip
def test_a_key_set_without_a_fitting_key_is_refused(jwks):
    with pytest.raises(InvalidKeys):
        reader(("RS256",))(json.dumps(jwks).encode())


def test_only_keys_that_nobody_can_change_on_the_way_are_fetched():
    assert fetchable("https://issuer/keys")
    assert fetchable("http://127.0.0.1:8080/keys")
    for url in (
        "http://issuer/",
        "ftp://issuer/",
        "https://",
        "https://u:p@issuer/",
        "https://a:b",
    ):
        assert not fetchable(url)


class Issuer(http.server.BaseHTTPRequestHandler):
    jwks = JWKS
    asked = 0

    def do_GET(self):
        Issuer.asked += 1
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/keys")
            self.end_headers()
            return
        body = bytes(5 * 2**20) if self.path == "/large" else json.dumps(Issuer.jwks).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def issuer():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Issuer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(20)
    server.server_close()


def test_keys_come_from_a_url_and_a_new_one_is_asked_for(issuer, monkeypatch):
    monkeypatch.setattr("serving.access.refreshed._RETRY", 0.05)
    Issuer.jwks = {"keys": [public(RSA, "r")]}
    source = Refreshed("keys", of_url(issuer + "/keys"), reader(("RS256",)), 600, 600)
    source.load()
    source.start()
    try:
        demands = Demands("https://issuer", "model", ("RS256",), 5, "sub")
        found = Tokens(demands, source)
        assert found.owner(signed(), NOW) == "billing"
        Issuer.jwks = {"keys": [public(RSA, "r"), public(OTHER, "new")]}
        deadline = time.monotonic() + 20
        while True:
            try:
                assert found.owner(signed(OTHER, "new"), NOW) == "billing"
                break
            except BadToken:
                assert time.monotonic() < deadline
                time.sleep(0.02)
    finally:
        source.stop()


@pytest.mark.parametrize("path", ["/moved", "/large"])
def test_redirects_and_floods_are_not_taken(issuer, path):
    with pytest.raises(OSError, match=r"302|too large"):
        of_url(issuer + path)()
