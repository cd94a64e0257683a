"""Signatures against those that AWS published for its own examples ("Examples: Signature Calculations")."""

from __future__ import annotations

from calendar import timegm
from hashlib import sha256

import pytest

from triage.spool.cluster.s3_signature import S3Request, Signer

SIGNER = Signer("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1")
HOST, AT = "examplebucket.s3.amazonaws.com", float(timegm((2013, 5, 24, 0, 0, 0)))

EXAMPLES = {
    "GET of a range": (
        S3Request("GET", "/test.txt", headers={"Range": "bytes=0-9"}),
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
    "PUT with a body": (
        S3Request(
            "PUT",
            "/test$file.text",
            headers={"Date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
            payload=sha256(b"Welcome to Amazon S3.").hexdigest(),
        ),
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
    "GET of a query without a value": (
        S3Request("GET", "/", {"lifecycle": ""}),
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
    "GET of a list": (
        S3Request("GET", "/", {"prefix": "J", "max-keys": "2"}),
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_signature_is_the_one_that_aws_published(example: str) -> None:
    request, signature = EXAMPLES[example]
    assert SIGNER.headers(request, HOST, AT)["Authorization"].endswith(f",Signature={signature}")


def test_the_secret_is_not_shown() -> None:
    assert SIGNER.secret_key not in repr(SIGNER)


def test_a_key_is_sent_as_it_is_signed() -> None:
    request = S3Request("GET", "/bucket/a b+c/d~e", {"prefix": "a/b c"})
    assert request.target == "/bucket/a%20b%2Bc/d~e?prefix=a%2Fb%20c"
